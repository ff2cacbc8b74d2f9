"""Work that is shared among threads changes nothing for the other threads of the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest
import torch

from recae.system import threads
from recae.system.threads import in_threads


@pytest.fixture
def three() -> Iterator[int]:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(usual)


def threads_of_a_new_thread() -> int:
    """How many threads torch computes with in a thread that has not used it yet."""
    found: list[int] = []
    new = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    new.start()
    new.join()
    return found[0]


def test_a_part_is_computed_on_one_thread_and_others_keep_theirs(three: int) -> None:
    all_at_work = threading.Barrier(three, timeout=60)

    def work(part: int) -> tuple[int, int, int]:
        all_at_work.wait()
        return part, torch.get_num_threads(), threads_of_a_new_thread()

    assert in_threads(work, range(three)) == [(part, 1, three) for part in range(three)]
    assert torch.get_num_threads() == threads_of_a_new_thread() == three


def test_an_error_comes_through_and_the_numbers_stay(three: int) -> None:
    def work(part: int) -> int:
        raise KeyError(part)

    with pytest.raises(KeyError):
        in_threads(work, range(9))
    assert torch.get_num_threads() == threads_of_a_new_thread() == three


def test_context_variables_reach_the_thread_of_a_forked_process(monkeypatch) -> None:
    held: ContextVar[int] = ContextVar("held", default=0)
    monkeypatch.setattr(threads._PROCESS, "survivor", threading.get_ident())
    monkeypatch.setattr(threads._PROCESS, "worker", None)
    held.set(7)
    caller = threading.get_ident()
    found = threads.survives_fork(lambda: (held.get(), threading.get_ident() != caller))()
    assert found == (7, True)
