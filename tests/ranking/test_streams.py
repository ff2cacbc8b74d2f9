"""Lists made without holding the scores, against those of the scores; products of any rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from recae.ranking.products import Products
from recae.ranking.streams import stream_top_k

import recae
from recae.nn import products as kernels
from recae.ranking import products as tiles
from recae.ranking import streams
from recae.ranking.top_k import top_k

N_ITEMS = 900


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    """Several blocks of columns, several of them a chunk, and several tiles, from few items."""
    monkeypatch.setattr(kernels, "BLOCK", 64)
    monkeypatch.setattr(streams, "CELLS", 40 * 200)
    monkeypatch.setattr(streams, "LARGE", 70)
    monkeypatch.setattr(streams, "LEAST_GROUPS", 1)


def factors(rows: int, ties: bool = False) -> Products:
    rng = np.random.default_rng(rows)
    shapes = ((rows, 12), (N_ITEMS, 12), (N_ITEMS,))
    if ties:
        drawn = (rng.integers(-1, 2, shape) for shape in shapes)
    else:
        drawn = (rng.standard_normal(shape) for shape in shapes)
    return Products(*(torch.from_numpy(part.astype(np.float32)) for part in drawn))


@pytest.mark.parametrize("rows", [0, 1, 69, 70, 71, 300])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [1, 10, 950])
def test_equals_the_lists_of_the_scores(rows, ties, k) -> None:
    scores, rng = factors(rows, ties), np.random.default_rng(k)
    exclude = sp.csr_matrix(rng.random((rows, N_ITEMS)) < 0.2, dtype=np.float32)
    exclude.data[::5] = 0  # which excludes nothing
    allowed = rng.random(N_ITEMS) < 0.8
    strangers = np.flatnonzero(rng.random(rows) < 0.1)
    counts = rng.integers(0, 5, N_ITEMS)
    dense = scores.dense()
    if rows:
        np.testing.assert_allclose(
            dense, scores.rows.double() @ scores.columns.double().t() + scores.bias, atol=1e-4
        )
    found = stream_top_k(scores, k)
    for top, expected in (
        (found, top_k(dense, k)),
        (
            stream_top_k(scores, k, exclude=exclude, allowed=allowed),
            top_k(dense, k, exclude=exclude, allowed=allowed),
        ),
    ):
        np.testing.assert_array_equal(top.items, expected.items)
        np.testing.assert_array_equal(top.scores, expected.scores)
    dense[strangers] = torch.from_numpy(counts.astype(np.float32))
    top = stream_top_k(scores, k, exclude=exclude, instead=(strangers, counts))
    expected = top_k(dense, k, exclude=exclude)
    np.testing.assert_array_equal(top.items, expected.items)
    np.testing.assert_array_equal(top.scores, expected.scores)


def test_what_cannot_be_ranked_is_named() -> None:
    scores = factors(80)
    scores.columns[500, 3] = torch.nan
    with pytest.raises(recae.DataError, match="NaN in row 0, column 500"):
        stream_top_k(scores, 3)
    allowed = np.ones(N_ITEMS, dtype=bool)
    allowed[500] = False
    assert (stream_top_k(scores, 3, allowed=allowed).items != 500).all()


@pytest.mark.parametrize("heights", [(8, 256), (64, 64)])
@pytest.mark.parametrize("kernel", ["as here", "plain"])
@pytest.mark.parametrize("n", [900, 5])
def test_a_row_has_its_bits_in_any_number_of_rows(heights, kernel, n, monkeypatch) -> None:
    if kernel == "plain":  # a torch without oneDNN
        monkeypatch.setattr(kernels, "_onednn", lambda: None)
    tiles._trusted.cache_clear()
    allowed = tiles._trusted(12, (64,), torch.get_num_threads())
    if heights != (64, 64) and heights != allowed:
        pytest.skip("this machine gives other bits in tiles of other heights")
    monkeypatch.setattr(tiles, "_trusted", lambda *shape: heights)
    scores = factors(700)
    columns = scores.columns[:n]
    whole = tiles.products(scores.rows, columns)
    for part in (slice(0, 1), slice(5, 14), slice(3, 103), slice(300, 640), slice(0, 256)):
        assert torch.equal(tiles.products(scores.rows[part], columns), whole[part])


def test_heights_that_change_bits_are_not_trusted(monkeypatch) -> None:
    def unlike(hidden, weight, bias, blocks=None, *, out=None):
        """A product whose few rows come out a little other."""
        return kernels.affine(hidden, weight, bias) * (1 if len(hidden) >= 64 else 1.5)

    tiles._trusted.cache_clear()
    monkeypatch.setattr(tiles, "affine", unlike)
    with torch.no_grad():
        assert tiles._trusted(12, (64,), 97)[0] == tiles.TILE
    tiles._trusted.cache_clear()


def test_who_scores_otherwise_is_ranked_by_that() -> None:
    class Backwards(recae.PureSVD):
        name = "backwards"

        def _score_rows(self, matrix):
            return -super()._score_rows(matrix)

    rng = np.random.default_rng(0)
    data = recae.Interactions.from_csr(sp.csr_matrix(rng.random((30, 20)) < 0.6, dtype=float))
    model = Backwards(latent=3).fit(data)
    plain = recae.PureSVD(latent=3).fit(data)
    np.testing.assert_array_equal(model.score(data), -plain.score(data))
    top = model.recommend_array(data, 5, exclude_seen=False)
    np.testing.assert_array_equal(top.items, top_k(-torch.from_numpy(plain.score(data)), 5).items)


@pytest.mark.parametrize("name", ["als", "bpr", "pure-svd", "mult-vae", "mult-dae"])
def test_scores_of_lists_are_those_of_score(name) -> None:
    rng = np.random.default_rng(1)
    matrix = sp.csr_matrix(rng.random((300, N_ITEMS)) < 0.02, dtype=float)
    data = recae.Interactions.from_csr(matrix)
    model = (
        recae.MODELS[name](latent=5, epochs=1) if name != "pure-svd" else recae.PureSVD(latent=5)
    )
    model.fit(data)
    assert isinstance(model._scores(data.matrix[:3]), Products)
    scores = model.score(data)
    expected = top_k(torch.from_numpy(scores), 20, exclude=data.matrix)
    top = model.recommend_array(data, 20)
    np.testing.assert_array_equal(top.items, expected.items)
    np.testing.assert_array_equal(top.scores, expected.scores)
    alone = model.recommend_array(data.matrix[[7]], 20)
    np.testing.assert_array_equal(alone.items[0], top.items[7])
    np.testing.assert_array_equal(alone.scores[0], top.scores[7])
    assert isinstance(model.recommend([7]), pd.DataFrame)


def test_who_mixes_in_other_scores_is_ranked_by_them() -> None:
    class Reversed:
        def _score_rows(self, matrix):
            return -super()._score_rows(matrix)

    class Worst(Reversed, recae.PureSVD):
        name = "worst"

    rng = np.random.default_rng(0)
    data = recae.Interactions.from_csr(sp.csr_matrix((rng.random((20, 30)) < 0.3).astype("f4")))
    model = Worst(latent=3).fit(data)
    top = model.recommend_array(data, k=4, exclude_seen=False)
    expected = top_k(torch.from_numpy(model.score(data)), 4)
    np.testing.assert_array_equal(top.items, expected.items)
