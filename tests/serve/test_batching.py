"""Micro-batching: one ranking for requests that come together, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from recae.serve import Settings, Shelf, batching
from recae.serve.answers import Asked, recommend
from recae.serve.batching import Together
from recae.serve.refusals import Refused
from recae.serve.turns import Turns


class Ranked:
    """What is ranked together; the answer of a request is its history."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, several: Sequence[Any], titles: Sequence[Any]) -> list[dict[str, Any]]:
        self.batches.append(len(several))
        assert len(titles) == len(several)
        if "bad" in several:
            raise ValueError("bad")
        return [{"of": one} for one in several]


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> Ranked:
    found = Ranked()
    monkeypatch.setattr(batching, "recommend_together", found)
    return found


def together(**settings: Any) -> Together:
    chosen = Settings(**{"batch_wait": 0.01, **settings})
    return Together(Turns(chosen.waiting, 1), chosen)


async def outcomes(batch: Together, several: Sequence[Any], wait: float = 60) -> list[Any]:
    deadline = asyncio.get_running_loop().time() + wait
    asked = (batch.run(one, {}, deadline) for one in several)
    return await asyncio.gather(*asked, return_exceptions=True)


def test_requests_that_come_together_are_ranked_once_and_in_order(ranked: Ranked) -> None:
    batch = together()

    async def story() -> None:
        for numbers in (range(20), range(7), [3]):
            assert await outcomes(batch, numbers) == [{"of": number} for number in numbers]

    asyncio.run(story())
    assert ranked.batches == [20, 7, 1] and batch.waiting == 0 and batch.work is None


def test_a_batch_has_at_most_so_many(ranked: Ranked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOST", 8)
    found = asyncio.run(outcomes(together(), range(20)))
    assert found == [{"of": number} for number in range(20)]
    assert ranked.batches == [8, 8, 4]


def test_more_than_may_wait_are_refused(ranked: Ranked) -> None:
    batch = together(waiting=3, retry_after=5)
    found = asyncio.run(outcomes(batch, range(5)))
    assert found[:3] == [{"of": number} for number in range(3)]
    assert [(one.status, one.headers["retry-after"]) for one in found[3:]] == [(429, "5")] * 2
    assert batch.waiting == 0


def test_a_fault_is_that_of_its_batch_only(ranked: Ranked) -> None:
    batch = together()

    async def story() -> list[Any]:
        return [await outcomes(batch, [1, "bad"]), await outcomes(batch, [2])]

    first, second = asyncio.run(story())
    assert [type(one) for one in first] == [ValueError, ValueError]
    assert second == [{"of": 2}] and batch.waiting == 0


def test_what_is_too_old_is_refused_without_being_ranked(ranked: Ranked) -> None:
    found = asyncio.run(outcomes(together(), range(3), wait=-1))
    assert [one.status for one in found if isinstance(one, Refused)] == [503, 503, 503]
    assert ranked.batches == []


def test_a_client_that_goes_takes_nothing_from_the_others(ranked: Ranked) -> None:
    batch = together()

    async def story() -> list[Any]:
        deadline = asyncio.get_running_loop().time() + 60
        tasks = [asyncio.ensure_future(batch.run(n, {}, deadline)) for n in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(story())
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [{"of": 1}, {"of": 2}] and batch.waiting == 0


def test_the_answers_are_those_of_single_requests(shelf: Shelf) -> None:
    ease, words = shelf.get("ease"), shelf.get("words")
    several = [
        *(Asked(ease, [1, 2], 3), Asked(ease, [], 3), Asked(ease, [4, 4, 999], 3)),
        *(Asked(ease, [5], 4, False), Asked(words, ["item 1"], 3), Asked(ease, [7, 8], 30)),
        *(Asked(words, [], 3), Asked(words, ["item 2", "other"], 3)),
    ]
    found = asyncio.run(outcomes(together(), several))
    for asked, answer in zip(several, found, strict=True):
        alone = recommend(asked, {})
        for one in (alone, answer):
            one["scores"] = [item.pop("score") for item in one["items"]]
        assert alone.pop("scores") == pytest.approx(answer.pop("scores"), rel=1e-5, abs=1e-7)
        assert answer == alone
