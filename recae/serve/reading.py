"""Reads bodies of requests: their type, their size, and the fields they may have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from recae.serve.refusals import JSON, Refused, invalid, unreadable

ARROW = "application/vnd.apache.arrow.stream"
MISSING = ("missing", "extra_forbidden")
B = TypeVar("B", bound=BaseModel)


def media_type(request: Request, known: Sequence[str] = (JSON,)) -> str:
    """The type of a body. Raises Refused (415) for an unknown one and for a compressed body.

    A type must be named: what a form of another web page may send, text/plain, is then refused.
    """
    headers = request.headers
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in known:
        wanted = " or ".join(known)
        raise Refused(
            415, "media_type", f"the body must be {wanted}, not {given or 'of no type'}: "
            "set the header Content-Type", "content-type",
        )  # fmt: skip
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", ""):
        raise Refused(
            415, "content_encoding", f"bodies are read as they are, not as {coding}: send it "
            "without Content-Encoding", "content-encoding",
        )  # fmt: skip
    return given


async def read(request: Request, most: int, deadline: float) -> bytes:
    """The body. Raises Refused: 413 for more than `most` bytes, whatever Content-Length says, and
    408 for a body that has not come before the deadline."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
        raise too_large(most)
    try:
        async with asyncio.timeout_at(deadline):
            parts, size, more = [], 0, True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise unreadable("the connection was closed before the end of the body")
                part, more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                if size > most:
                    raise too_large(most)
                parts.append(part)
    except TimeoutError:
        raise Refused(
            408, "timeout", "the body did not come in time", headers={"connection": "close"}
        ) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(most: int) -> Refused:
    """413, and the connection ends: the rest of the body is not read."""
    return Refused(
        413, "too_large", f"the body has more than {most:,} bytes, the limit of this service",
        headers={"connection": "close"},
    )  # fmt: skip


def parsed(kind: type[B], body: bytes | dict[str, Any]) -> B:
    """The body as one of the classes of `schemas`. Raises Refused: 400 for what is no JSON, 422 for
    other JSON."""
    try:
        if isinstance(body, dict):
            return kind.model_validate(body)
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise fault(kind, error.errors(include_url=False, include_context=False)) from None


def fault(kind: type[BaseModel], errors: Sequence[Any]) -> Refused:
    """The refusal for the first of the errors of pydantic, with the path of the field."""
    first = errors[0]
    what, place = first["type"], first["loc"]
    if what == "json_invalid":
        reason = first["msg"].removeprefix("Invalid JSON: ")
        return unreadable(f"the body is no JSON: {reason}")
    if not place:
        return invalid("the body must be a JSON object")
    path, expected = described(kind, place)
    if what == "extra_forbidden":
        known = ", ".join(fields_at(kind, place))
        return invalid(f"unknown field {path}. Known: {known}", path)
    if what == "missing":
        return invalid(f"{path} is missing: {expected}", path)
    return invalid(f"{path} does not fit: expected {expected or first['msg']}", path)


def described(kind: Any, place: Sequence[Any]) -> tuple[str, str]:
    """The path of a field and what it must be; the branches of a union are no part of the path."""
    path, expected = [], ""
    for part in place:
        fields = getattr(kind, "model_fields", {})
        if part in fields:
            field = fields[part]
            kind, expected = inner(field.annotation), field.description or ""
            path.append(str(part))
        elif isinstance(part, int):
            path.append(str(part))
        elif part is place[-1] and hasattr(kind, "model_fields"):
            path.append(str(part))
    return ".".join(path), expected


def inner(annotation: Any) -> Any:
    """The class of the elements of a list, or the annotation itself."""
    arguments: tuple[Any, ...] = getattr(annotation, "__args__", ())
    return arguments[0] if len(arguments) == 1 else annotation


def fields_at(kind: Any, place: Sequence[Any]) -> list[str]:
    """The names of the fields of the class at a place."""
    for part in place[:-1]:
        fields = getattr(kind, "model_fields", {})
        if part in fields:
            kind = inner(fields[part].annotation)
    return sorted(getattr(kind, "model_fields", {}))
