"""Refusals: what the service does not answer, why, and in which form it says so."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response

from recae.errors import CapacityError, RecaeError

JSON = "application/json"
MOST_TEXT = 500
"""Characters of a message: those of a body of the request may be long."""


class Refused(Exception):
    """A request that gets no answer: an HTTP status, a word for programs, and a sentence.

    parameter: the field at fault. headers: those of the response, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.parameter, self.headers = parameter, dict(headers or {})


def invalid(message: str, parameter: str | None = None) -> Refused:
    """422: a body that can be read and says what is impossible."""
    return Refused(422, "invalid", message, parameter)


def unreadable(message: str) -> Refused:
    """400: a body that cannot be read."""
    return Refused(400, "unreadable", message)


def too_many(retry_after: int) -> Refused:
    """429: no place to wait is left."""
    message = f"too many requests are waiting; come back in {retry_after} s"
    return Refused(429, "too_many_requests", message, headers={"retry-after": str(retry_after)})


def unavailable(code: str, message: str, retry_after: int) -> Refused:
    """503: later, perhaps."""
    return Refused(503, code, message, headers={"retry-after": str(retry_after)})


def explained(error: RecaeError, retry_after: int = 1) -> Refused:
    """The refusal for an error of recae."""
    if isinstance(error, CapacityError):
        return unavailable("too_large", str(error), retry_after)
    return invalid(str(error), error.parameter)


def response(refused: Refused, protocol: bool = False) -> Response:
    """The response of a refusal. protocol: in the form of the Open Inference Protocol, a text."""
    message = refused.message.encode("utf-8", "replace").decode()
    if len(message) > MOST_TEXT:
        message = message[: MOST_TEXT - 4] + " ..."
    body: dict[str, object] = {"error": message}
    if not protocol:
        about = {"code": refused.code, "message": message}
        if refused.parameter is not None:
            about["parameter"] = refused.parameter.encode("utf-8", "replace").decode()[:MOST_TEXT]
        body = {"error": about}
    return Response(orjson.dumps(body), refused.status, refused.headers, media_type=JSON)
