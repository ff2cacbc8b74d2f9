"""Results that the trials of a search share."""

from __future__ import annotations

from itertools import count

import pytest

from recae.estimators.reuse import reuse, reused


def test_the_last_result_of_a_kind_is_kept_within_a_search_only() -> None:
    numbers, one, two = count(), object(), object()

    def found(owner: object, key: object, kind: str = "svd") -> int:
        return reused(kind, owner, key, lambda: next(numbers))

    assert [found(one, 1), found(one, 1)] == [0, 1]  # nothing is kept
    with reuse():
        assert [found(one, 1), found(one, 1)] == [2, 2]
        assert [found(one, 2), found(one, 1)] == [3, 4]  # the last one only
        assert [found(two, 1), found(two, 1)] == [5, 5]
        assert found(one, 1, "other") == 6 and found(two, 1) == 5
        with reuse():
            assert found(two, 1) == 7
        assert found(two, 1) == 5
    assert found(two, 1) == 8


def test_a_failure_is_not_kept() -> None:
    with reuse():
        with pytest.raises(ZeroDivisionError):
            reused("svd", reuse, 1, lambda: 1 // 0)
        assert reused("svd", reuse, 1, lambda: 5) == 5
    with pytest.raises(KeyError), reuse():
        raise KeyError
    assert reused("svd", reuse, 1, lambda: 6) == 6
