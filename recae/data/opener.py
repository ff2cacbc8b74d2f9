"""urllib for http and https only; loaded when something is fetched."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any


def check_address(url: str) -> None:
    """Raises ValueError for a port that is none; connecting would raise something else."""
    urllib.parse.urlsplit(url).port  # noqa: B018


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) addresses, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        url: str,
    ) -> urllib.request.Request | None:
        check_address(url)
        scheme = url.partition(":")[0].lower()
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise urllib.error.URLError(f"it leads on to {url}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, url)

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any
    ) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (ValueError, urllib.error.URLError) as error:
            if not isinstance(error, urllib.error.HTTPError):  # which holds fp, and is closed
                fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def opener() -> urllib.request.OpenerDirector:
    """Opens http and https addresses, by way of the proxies that the environment names."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirect(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director
