"""Nothing hangs in a forked process, and everything is as in the process that it came from."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import pytest
import torch

from recae.system.threads import survives_fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


def in_a_fork(work: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether the work gives True in a forked child, in time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            watch = threading.Timer(seconds, os._exit, (2,))
            watch.daemon = True
            watch.start()
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@survives_fork
def where() -> int:
    return threading.get_ident()


def parallel() -> torch.Tensor:
    return torch.arange(3_000_000, dtype=torch.float64).sqrt()


@pytest.fixture
def used() -> torch.Tensor:
    """The pool of threads exists when the fork comes."""
    return parallel()


def test_without_a_fork_it_is_a_plain_call() -> None:
    assert where() == threading.get_ident()
    assert where.__name__ == "where"


def test_in_a_fork_and_in_a_fork_of_it_computing_goes_on(used) -> None:
    def work() -> bool:
        equal = survives_fork(lambda: torch.equal(parallel(), used))  # comparing computes too
        return where() != threading.get_ident() and equal()

    assert in_a_fork(work)
    assert in_a_fork(lambda: work() and in_a_fork(work, 30))


def test_threads_of_a_child_and_calls_within_calls_stay_where_they_are(used) -> None:
    def work() -> bool:
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(where() == threading.get_ident()))
        thread.start()
        thread.join()
        inner = survives_fork(lambda: where() == threading.get_ident())
        return found == [True] and inner()

    assert in_a_fork(work)


def test_errors_come_back(used) -> None:
    @survives_fork
    def wrong() -> None:
        raise ValueError("wrong")

    def work() -> bool:
        with pytest.raises(ValueError, match="wrong"):
            wrong()
        return True

    assert in_a_fork(work)
