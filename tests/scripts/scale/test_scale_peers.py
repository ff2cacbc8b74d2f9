"""The comparison of exports: a loop around implicit, and lists in two layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import recae
from evaluation.scale import scale_peers


def test_the_loop_around_implicit_gives_recaes_lists(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scale_peers, "K", 5)
    monkeypatch.setattr(scale_peers, "BATCH", 7)
    dense = np.random.default_rng(0).random((20, 9)) < 0.4
    dense[:, 0] |= ~dense.any(axis=1)
    dense[3] = True  # who has everything gets no list
    dense[4] = np.arange(9) < 7  # and who has 7 of 9 items a short one
    matrix = sp.csr_matrix(dense.astype(np.float32))
    model = recae.ALS(latent=3, epochs=2).fit(matrix, progress=False)
    model.export(tmp_path / "recae.parquet", matrix, 5, progress=False)
    factors = np.asarray(model.embed_users(matrix)), np.asarray(model.item_factors_)
    theirs = scale_peers.implicit_model(*factors, threads=1)
    scale_peers.implicit_loop(theirs, matrix, tmp_path / "implicit.parquet")
    found = scale_peers.compared(tmp_path, ["recae", "implicit"])
    assert found["implicit"]["common"] == 1 and found["implicit"]["users"] == 19


def test_lists_are_read_in_the_layout_of_lenskit_too(tmp_path: Path) -> None:
    items = [[{"item_id": 4, "score": 1.0}, {"item_id": 2, "score": 0.5}], [], [{"item_id": 9}]]
    pq.write_table(pa.table({"user_id": [0, 1, 5], "items": items}), tmp_path / "lenskit.parquet")
    rows = scale_peers.lists_of(tmp_path / "lenskit.parquet")
    assert rows.tolist() == [[0, 4], [0, 2], [5, 9]]


@pytest.mark.parametrize(("theirs", "common"), [([4, 2], 1.0), ([4, 3], 0.5), ([4], 0.5)])
def test_the_share_of_common_items(theirs, common, tmp_path: Path) -> None:
    for name, items in {"ours": [2, 4], "theirs": theirs}.items():
        table = pa.table({"user_id": [7] * len(items), "item_id": items})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert scale_peers.compared(tmp_path, ["ours", "theirs"])["theirs"]["common"] == common
