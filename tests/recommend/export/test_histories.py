"""Digests of histories: equal for equal rows, and different for every difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recae import DataError
from recae.data import csr
from recae.ranking.batches import Request
from recae.recommend.export.histories import digests, read_digests, write_digests

ROWS = [[(0, 1)], [(0, 1), (3, 1)], [(0, 1), (3, 2)], [(3, 1)], [], [(1, 0.5), (2, 0.5)]]


def matrix(rows: list[list[tuple[int, float]]]) -> Any:
    found = np.zeros((len(rows), 5), dtype=np.float32)
    for row, cells in enumerate(rows):
        for column, weight in cells:
            found[row, column] = weight
    return sp.csr_matrix(found)


def request(rows: list[list[tuple[int, float]]], **more: Any) -> Request:
    found = matrix(rows)
    return Request(np.arange(len(rows)), found, np.diff(found.indptr) > 0, **more)


@pytest.mark.parametrize("weighted", [True, False])
def test_rows_have_their_own(weighted, monkeypatch) -> None:
    found = digests(request(ROWS), None, weighted)
    assert len({*found.tolist()}) == (6 if weighted else 5)  # rows 1 and 2 differ in a weight
    assert (found[1] == found[2]) == (not weighted)
    order = np.array([4, 2, 0, 5, 5])
    moved = digests(request([ROWS[row] for row in order]), None, weighted)
    assert moved.tolist() == found[order].tolist()
    monkeypatch.setattr(csr.row_blocks, "__defaults__", (2,))
    assert digests(request(ROWS), None, weighted).tolist() == found.tolist()


def test_what_single_users_may_be_given_counts() -> None:
    usual = request(ROWS)
    plain = digests(usual, None, False)
    seen = digests(request(ROWS, exclude=usual.matrix), None, False)
    hidden = usual.matrix + matrix([[], [(4, 1)], [], [], [], []])
    own = digests(request(ROWS, exclude=sp.csr_matrix(hidden)), None, False)
    assert (own != seen).nonzero()[0].tolist() == [1]
    cells = matrix([[], [], [(1, 1)], [], [(2, 1)], []])
    limited = np.array([False, False, True, True, False, False])
    allowed = digests(usual, (limited, cells), False)
    assert (allowed != plain).nonzero()[0].tolist() == [2, 3]  # 3 may be given nothing
    popular = digests(request(ROWS, popularity=np.ones(5)), None, False)
    assert (popular != plain).nonzero()[0].tolist() == [4]


def test_random_histories_have_no_digest_in_common() -> None:
    cells = sp.random(20_000, 40, density=0.3, random_state=0, format="csr", dtype=np.float32)
    distinct = {row.tobytes() for row in np.packbits(cells.toarray() > 0, axis=1)}
    rows = Request(np.arange(20_000), cells, np.ones(20_000, dtype=bool))
    assert len({*digests(rows, None, False).tolist()}) == len(distinct)


@pytest.mark.parametrize("users", [np.array([5, 2, 9]), np.array(["a", "ü", "b"], dtype=object)])
def test_they_are_kept_in_a_file(tmp_path: Path, users: np.ndarray) -> None:
    found = np.array([1, 2**64 - 1, 0], dtype=np.uint64)
    about = write_digests(tmp_path, users, found)
    again = read_digests(tmp_path, about)
    assert again[0].tolist() == users.tolist() and again[1].tolist() == found.tolist()
    frame = pd.read_parquet(tmp_path / about["file"])
    assert [*frame] == ["user_id", "digest"] and frame["digest"].tolist() == found.tolist()
    for wrong in (about | {"sha256": "0" * 64}, about | {"bytes": 1}, {}, None):
        with pytest.raises(DataError, match=r"_users\.digests"):
            read_digests(tmp_path, wrong)


def test_no_users(tmp_path: Path) -> None:
    nobody = digests(request([]), None, True)
    assert len(nobody) == 0
    again = read_digests(tmp_path, write_digests(tmp_path, np.empty(0, np.int64), nobody))
    assert len(again[0]) == len(again[1]) == 0
