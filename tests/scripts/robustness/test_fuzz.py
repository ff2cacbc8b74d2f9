"""A small run of `python -m evaluation fuzz`: no exception but our own."""

from __future__ import annotations

import pytest

from evaluation.robustness.fuzz import CHECKS, run


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_but_our_errors(check: str) -> None:
    assert run(CHECKS[check], 60) >= 60
