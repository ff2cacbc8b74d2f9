"""Turns are taken in order, a full queue refuses, and what is too old is not run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from recae.serve.refusals import Refused  # noqa: E402
from recae.serve.turns import Threads, Turns  # noqa: E402


def outcome(done: Any) -> Any:
    return done.status if isinstance(done, Refused) else done


async def gathered(
    turns: Turns | Threads, works: list[Callable[[], Any]], wait: float
) -> list[Any]:
    deadline = asyncio.get_running_loop().time() + wait
    tasks = (turns.run(work, deadline) for work in works)
    return [*map(outcome, await asyncio.gather(*tasks, return_exceptions=True))]


def test_turns_are_taken_in_order_and_the_rest_is_refused() -> None:
    order: list[int] = []
    works = [lambda n=n: order.append(n) or n for n in range(5)]
    turns = Turns(3, 1)
    assert asyncio.run(gathered(turns, works, 60)) == [0, 1, 2, 429, 429]
    assert order == [0, 1, 2]
    assert asyncio.run(gathered(turns, works[:1], 60)) == [0]  # the places are free again


def test_what_is_too_old_is_refused_without_being_run() -> None:
    run: list[int] = []
    for turns in (Turns(3, 1), Threads(1, 3, 1)):
        assert asyncio.run(gathered(turns, [lambda: run.append(1)], -1.0)) == [503]
    assert run == []


def test_an_error_of_the_work_is_raised() -> None:
    for turns in (Turns(3, 1), Threads(1, 3, 1)):
        (found,) = asyncio.run(gathered(turns, [lambda: 1 / 0], 60))
        assert isinstance(found, ZeroDivisionError)


def test_work_that_hangs_is_refused_in_time_and_keeps_its_thread() -> None:
    free = threading.Event()
    threads = Threads(1, 1, 1)

    async def story() -> list[Any]:
        hanging = await gathered(threads, [lambda: free.wait(60)] * 3, 0.05)
        still = await gathered(threads, [lambda: 1], 60)
        free.set()
        while threads.count:
            await asyncio.sleep(0.001)
        return [hanging, still, await gathered(threads, [lambda: 7], 60)]

    assert asyncio.run(story()) == [[503, 503, 429], [429], [7]]
    threads.close()


def test_short_pieces_share_one_pass_of_the_loop() -> None:
    order: list[int] = []

    async def story() -> int:
        turns = Turns(3, 1)
        deadline = asyncio.get_running_loop().time() + 60
        tasks = [asyncio.ensure_future(turns.run(lambda: order.append(1), deadline)) for _ in "abc"]
        await asyncio.sleep(0)  # all of them wait now
        await asyncio.sleep(0)
        found = len(order)
        await asyncio.gather(*tasks)
        return found

    assert asyncio.run(story()) == 3
