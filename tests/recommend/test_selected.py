"""Histories that are read a slice at a time: the same lists, and no copy of them in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import recae
from recae import EASE, Interactions, RecaeWarning
from recae.recommend.export import run
from recae.recommend.selected import Either, Selected


def test_slices_are_rows_in_other_columns() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((9, 6)) < 0.5) * rng.integers(1, 9, (9, 6)).astype(np.float32)
    rows, columns = np.array([3, -1, 8, 3]), np.array([4, -1, 0, 1, -1, 2])
    expected = np.zeros((4, 5), dtype=np.float32)
    for place, row in enumerate(rows):
        for column, new in enumerate(columns):
            if row >= 0 and new >= 0:
                expected[place, new] = dense[row, column]
    lengths = (expected != 0).sum(axis=1)
    found = Selected(sp.csr_matrix(dense), rows, columns, 5, lengths)
    assert found.shape == (4, 5) and found.indptr.tolist() == [0, *np.cumsum(lengths)]
    for some in (slice(0, 4), slice(1, 3), slice(2, None), slice(0, 0)):
        part = found[some]
        part.check_format(full_check=True)
        assert (part.toarray() == expected[some]).all()
        assert all((np.diff(row.indices) > 0).all() for row in part)
    chosen = found[np.array([2, 0])]
    assert isinstance(chosen, Selected) and (chosen[0:2].toarray() == expected[[2, 0]]).all()
    other = sp.csr_matrix(np.eye(4, 5, dtype=np.float32))
    both = Either(found, other)
    assert ((both[1:4].toarray() != 0) == ((expected + np.eye(4, 5))[1:4] != 0)).all()
    assert (both[np.array([3, 1])][0:2].toarray() == both[0:4].toarray()[[3, 1]]).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"users": ["u9", "u4", "u9"]},
        {"users": ["u9", "who", "new"], "on_unknown": "popular"},
        {"on_unknown": "skip"},
        {"exclude_items": {"u3": ["i9", "i11"], "u4": ["i2"], "nobody": ["i1"]}},
        {"exclude_items": {"u3": ["i9"]}, "exclude_seen": False},
        {"rules": recae.Rules(block={"u5": ["i1", "i3"]}, allow={"u7": ["i9", "i8", "i10"]})},
    ],
)
@pytest.mark.parametrize("other_items", [False, True])
@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")
def test_the_lists_are_those_of_recommend(
    text_frame: pd.DataFrame,
    text_data: Interactions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    other_items: bool,
) -> None:
    monkeypatch.setattr(run, "PART_USERS", 10)
    model, history = EASE(l2=3.0).fit(text_data), text_data
    if other_items:  # in another order, three of them unknown, one user without a known one
        more = pd.DataFrame({"user_id": ["u3", "u4", "new"], "item_id": ["a0", "z9", "j5"]})
        frame = pd.concat([more, text_frame.iloc[::-1]], ignore_index=True)
        found = Interactions.from_frame(frame)
        history = found.with_items(found.items.ids[::-1].copy())[0]
        options = {"on_unknown": "popular"} | options
    wanted = {"k": 5, "history": history, **options}
    expected = model.recommend(**wanted)
    model.export(tmp_path / "lists", batch_size=5, **wanted)
    table = pq.read_table(tmp_path / "lists").to_pandas()
    for column in ("user_id", "item_id", "rank"):
        assert table[column].tolist() == expected[column].tolist()
    assert np.allclose(table["score"], expected["score"], rtol=1e-5)


def test_left_out_interactions_are_counted(text_frame, text_data, tmp_path) -> None:
    more = pd.DataFrame({"user_id": ["u3", "u4", "u4"], "item_id": ["z9", "z9", "z8"]})
    history = Interactions.from_frame(pd.concat([text_frame, more]))
    with pytest.warns(RecaeWarning, match=rf"^3 of {history.nnz} interactions.* 2 items.*'z8'"):
        EASE(l2=3.0).fit(text_data).export(tmp_path / "lists", history, k=2)


def mapped(folder: Path, users: int, items: int, each: int) -> Interactions:
    """Histories of `each` items, in files."""
    rng = np.random.default_rng(0)
    columns = np.sort(rng.permuted(np.tile(np.arange(items), (users, 1)), axis=1)[:, :each], axis=1)
    columns.astype(np.int32).tofile(folder / "indices")
    np.ones(columns.size, dtype=np.float32).tofile(folder / "weights")
    kinds = {"weights": np.float32, "indices": np.int32}
    arrays = [np.memmap(folder / name, kind, "r") for name, kind in kinds.items()]
    indptr = np.arange(0, columns.size + 1, each, dtype=np.int32)
    maps = recae.data.IdMap.range(users, "user"), recae.data.IdMap.range(items, "item")
    return Interactions._owning(*maps, *arrays, indptr, None)


def test_mapped_histories_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PART_USERS", 1 << 12)
    items, each, peaks = 120, 100, []
    few = mapped(tmp_path, 200, items, each).select_items(np.arange(items - 1, 4, -1))
    model = recae.Popularity().fit(few)
    for users in (30_000, 60_000):  # 24 and 48 MB
        history = mapped(tmp_path, users, items, each)
        history.fingerprint()
        options = {"users": np.arange(users)[::-1], "exclude_items": {0: [7]}}
        tracemalloc.start()
        with pytest.warns(RecaeWarning, match="left out"):
            model.export(tmp_path / f"{users}", history, k=2, **options)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 30_000 * 200, peaks  # a history has 800 bytes
