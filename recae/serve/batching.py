"""Micro-batching: requests of one user that come within a few milliseconds are ranked together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from recae.serve.answers import Asked, recommend_together
from recae.serve.refusals import too_many
from recae.serve.settings import Settings
from recae.serve.turns import Turns

MOST = 256
"""Requests that are ranked together, at most."""


class Together:
    """Collects requests for `batch_wait` seconds and ranks them in one turn.

    Worth its wait where a batch is much cheaper than its rows, such as on a GPU. The answers are
    those of single requests; scores differ by at most 1e-5 relative, as between batch sizes.
    """

    def __init__(self, turns: Turns, settings: Settings) -> None:
        self.turns, self.wait, self.settings = turns, settings.batch_wait, settings
        self.pending: list[tuple[Asked, Mapping[Any, str]]] = []
        self.work: asyncio.Future[list[dict[str, Any]]] | None = None
        self.waiting = 0

    async def run(self, asked: Asked, titles: Mapping[Any, str], deadline: float) -> dict[str, Any]:
        """The answer of one request."""
        if self.waiting >= self.settings.waiting:
            raise too_many(self.settings.retry_after)
        if self.work is None or len(self.pending) >= MOST:
            self.pending = []
            self.work = asyncio.ensure_future(self._later(self.pending, deadline))
        place, work = len(self.pending), self.work
        self.pending.append((asked, titles))
        self.waiting += 1
        try:
            return (await asyncio.shield(work))[place]
        finally:
            self.waiting -= 1

    async def _later(
        self, pending: list[tuple[Asked, Mapping[Any, str]]], deadline: float
    ) -> list[dict[str, Any]]:
        """Waits for other requests, and answers all that came meanwhile in one computation."""
        await asyncio.sleep(self.wait)

        def work() -> list[dict[str, Any]]:
            if self.pending is pending:
                self.work = None
            return recommend_together([one[0] for one in pending], [one[1] for one in pending])

        try:
            return await self.turns.run(work, deadline)
        finally:
            if self.pending is pending:
                self.work = None
