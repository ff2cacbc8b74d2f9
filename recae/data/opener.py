"""urllib for http and https only; loaded when something is fetched."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import IO, Any


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
        scheme = url.partition(":")[0].lower()
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise urllib.error.URLError(f"it leads on to {url}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, url)


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
