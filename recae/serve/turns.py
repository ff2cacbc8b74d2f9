"""Turns: short work in the event loop and long work in threads, with a bounded number waiting."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from recae.serve.refusals import Refused, too_many, unavailable

T = TypeVar("T")
Work = Callable[[], T]
Future = asyncio.Future[Any]

SPELL = 0.02
"""Seconds of work in the event loop before it reads and writes again."""


def too_late(retry_after: int) -> Refused:
    """503: a request that has waited longer than the timeout."""
    return unavailable("timeout", "no answer within the timeout of this service", retry_after)


class Turns:
    """Runs short work in the event loop, some pieces at a time, and lets the loop read in between.

    A request of one user takes about a millisecond, less than handing it to a thread while others
    hold the interpreter. waiting: pieces that may wait, at most; more are refused with 429. A piece
    whose deadline is over is refused without being run.
    """

    def __init__(self, waiting: int, retry_after: int) -> None:
        self.most, self.retry_after = waiting, retry_after
        self.pieces: deque[tuple[Work[Any], float, Future]] = deque()
        self.asleep = True

    async def run(self, work: Work[T], deadline: float) -> T:
        """The result of the work. deadline: on the clock of the event loop, seconds."""
        if len(self.pieces) >= self.most:
            raise too_many(self.retry_after)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.pieces.append((work, deadline, future))
        if self.asleep:
            self.asleep = False
            loop.call_soon(self._next, loop)
        return await future

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs pieces for `SPELL` seconds, then lets the loop read and write.

        With one piece at a time a flood of requests that are refused would take nearly all turns
        of the loop.
        """
        end = loop.time() + SPELL
        while self.pieces:
            work, deadline, future = self.pieces.popleft()
            self._run(loop, work, deadline, future)
            if loop.time() >= end:
                break
        self.asleep = not self.pieces
        if self.pieces:
            loop.call_soon(self._next, loop)

    def _run(
        self, loop: asyncio.AbstractEventLoop, work: Work[Any], deadline: float, future: Future
    ) -> None:
        """Does a piece of work in its turn, unless the client has gone or the deadline is over."""
        if future.done():  # cancelled: the client has gone
            return
        if loop.time() > deadline:
            future.set_exception(too_late(self.retry_after))
            return
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)


class Threads:
    """Runs long work in a few threads: batches, reasons, and whatever waits for a store.

    waiting: pieces that wait or run, at most; more are refused with 429. A piece that does not end
    before its deadline is refused, and keeps its place until it ends. The threads are daemons: a
    store that hangs does not keep the process from ending.
    """

    def __init__(self, threads: int, waiting: int, retry_after: int) -> None:
        self.threads, self.most, self.retry_after = threads, threads + waiting, retry_after
        self.pieces: queue.SimpleQueue[tuple[Work[Any], Callable[..., None]] | None]
        self.pieces = queue.SimpleQueue()
        self.count = self.started = 0

    async def run(self, work: Work[T], deadline: float) -> T:
        """The result of the work. deadline: on the clock of the event loop, seconds."""
        if self.count >= self.most:
            raise too_many(self.retry_after)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.count += 1

        def ended(result: Any, error: BaseException | None) -> None:
            self.count -= 1
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def in_time() -> T:
            if loop.time() > deadline:
                raise too_late(self.retry_after)
            return work()

        def tell(result: Any, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(ended, result, error)
            except RuntimeError:  # the loop has been closed: nobody waits
                pass

        context = copy_context()  # what the work tells is of this request
        self.pieces.put((lambda: context.run(in_time), tell))
        if self.started < min(self.threads, self.count):
            self.started += 1
            threading.Thread(target=self._work, name="recae-serve", daemon=True).start()
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        except TimeoutError:
            raise too_late(self.retry_after) from None

    def _work(self) -> None:
        while (piece := self.pieces.get()) is not None:
            work, tell = piece
            try:
                tell(work(), None)
            except Exception as error:
                tell(None, error)

    def close(self) -> None:
        """Ends the threads as soon as they have nothing to do."""
        for _ in range(self.started):
            self.pieces.put(None)
