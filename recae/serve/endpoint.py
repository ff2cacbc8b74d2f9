"""An endpoint: an address, what answers there, and what the OpenAPI schema says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from recae.serve import schemas

ERRORS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    403: "The service has no token, so this is off.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is larger than the service reads.",
    415: "The body is of another type, or compressed.",
    422: "The body can be read and says what is impossible.",
    429: "Too many requests wait; Retry-After says when to come back.",
    500: "The service failed; its log says why.",
    503: "Not now: the store is down, the service shuts down, or no answer in time.",
}
ERRORS_OF_BODIES = (400, 401, 404, 408, 413, 415, 422, 429, 503)


def path_parameter(name: str, example: str) -> dict[str, Any]:
    """A parameter of the path, for the schema."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "example": example,
    }


@dataclass(frozen=True)
class Endpoint:
    """An address and what its schema says.

    name: the operation id. answer, body: the classes of the bodies; list[...] of one is an array.
    errors: the statuses it may have besides 200 and 500. open: needs no token. takes,
    gives: the media types of the bytes that its body and its answer may be besides JSON. fault: the
    class of the bodies of errors. example: a body that is answered.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Request], Awaitable[Response]]
    answer: Any = None
    body: type[BaseModel] | None = None
    parameters: Sequence[dict[str, Any]] = ()
    errors: Sequence[int] = ()
    open: bool = False
    takes: str | None = None
    gives: str | None = None
    fault: type[BaseModel] = schemas.Error
    example: Any = None

    def with_fault(self, fault: type[BaseModel]) -> Endpoint:
        """The same with another form of errors; the protocol has 400 in place of 422."""
        errors = dict.fromkeys(400 if status == 422 else status for status in self.errors)
        return replace(self, fault=fault, errors=tuple(errors))
