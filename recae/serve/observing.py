"""What a service reports of its requests: one line of JSON each, and the metrics. No user data."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from recae.serve.shelf import Reload

FACTS: ContextVar[dict[str, Any] | None] = ContextVar("recae_facts", default=None)


def told(**facts: Any) -> None:
    """Adds facts to the line of the request that is being answered: never ids of users or items."""
    known = FACTS.get()
    if known is not None:
        known.update(facts)


class Log:
    """Lines of JSON on a file descriptor; a line is one write, so that processes may share it."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptor = descriptor

    def line(self, event: str, **facts: Any) -> None:
        """Writes one line. A reader that has gone, or a full disk, does not stop the service."""
        if self.descriptor is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = orjson.dumps({"time": now, "event": event, **facts}, default=str) + b"\n"
        with contextlib.suppress(OSError):
            os.write(self.descriptor, text)

    def reload(self, done: Reload) -> None:
        """The line of an attempt to load a model again."""
        facts: dict[str, Any] = {"model": done.name, "seconds": round(done.seconds, 3)}
        if done.served is not None:
            self.line("reload", **facts, version=done.served.version)
        else:
            self.line("reload_failed", **facts, error=str(done.error))

    def failure(self, error: BaseException, **facts: Any) -> None:
        """The line of an unexpected exception: its kind and place. Its message may quote a user."""
        frames = traceback.extract_tb(error.__traceback__)[-8:]
        places = [f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in frames]
        self.line("error", **facts, kind=type(error).__name__, places=places)


class Observed:
    """An ASGI application around another: it times, counts and logs each request.

    addresses: endpoint -> the address it is counted under; metrics: see `metrics.Metrics`.
    """

    def __init__(self, app: Any, addresses: Mapping[Any, str], metrics: Any, log: Log) -> None:
        self.app, self.addresses, self.metrics, self.log = app, addresses, metrics, log
        self.start, self.number = secrets.token_hex(4), itertools.count(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Counts and logs one HTTP request, and adds its x-request-id. A client that has gone is
        logged as 499."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        facts: dict[str, Any] = {}
        FACTS.set(facts)
        request_id = f"{self.start}-{next(self.number):x}"
        status, start = 0, time.perf_counter()

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), named]}
            await send(message)

        self.metrics.begin()
        try:
            await self.app(scope, receive, sent)
        except Exception as error:  # the client has its 500 already
            status = status or 500
            self.log.failure(error, request_id=request_id)
        finally:
            seconds = time.perf_counter() - start
            address = self.addresses.get(scope.get("endpoint"), "other")
            status = status or 499  # cancelled: the client has gone, or the service ends
            self.metrics.end(address, status, seconds, facts)
            self.log.line(
                "request",
                request_id=request_id,
                endpoint=address,
                status=status,
                ms=round(seconds * 1000, 3),
                **facts,
            )
