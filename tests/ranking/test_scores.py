"""Lists made without holding the scores, against those of the scores; products of any rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Ragged
from recae.nn import products as kernels
from recae.nn.macrid import MixtureScores
from recae.nn.products import BlockScores, FactoredScores, multiply, product
from recae.ranking import batches as module
from recae.ranking.batches import dense, top_k_of_blocks
from recae.ranking.top_k import TopK, top_k
from tests.gpu.pretend import PretendGPU
from tests.laws import assert_same_lists

N_ITEMS = 900


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    """Several blocks of rows and of columns from few users and items."""
    monkeypatch.setattr(kernels, "BLOCK", 64)
    monkeypatch.setattr(kernels, "TRANSPOSED", 20)
    monkeypatch.setattr(module, "CELLS", 40 * 200)
    monkeypatch.setattr(module, "ROWS", 70)


def factors(rows: int, ties: bool = False) -> FactoredScores:
    rng = np.random.default_rng(rows)
    shapes = ((rows, 12), (N_ITEMS, 12), (N_ITEMS,))
    if ties:
        drawn = (rng.integers(-1, 2, shape) for shape in shapes)
    else:
        drawn = (rng.standard_normal(shape) for shape in shapes)
    return FactoredScores(*(torch.from_numpy(part.astype(np.float32)) for part in drawn))


def assert_equal_lists(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


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
    whole = scores.dense()
    if rows:
        np.testing.assert_allclose(
            whole, scores.rows.double() @ scores.columns.double().t() + scores.bias, atol=1e-4
        )
    found = top_k_of_blocks(scores, k)
    same = assert_equal_lists if ties else assert_same_lists  # small integers have no rounding
    same(found, top_k(whole, k))
    same(
        top_k_of_blocks(scores, k, exclude=exclude, allowed=allowed),
        top_k(whole, k, exclude=exclude, allowed=allowed),
    )
    whole[strangers] = torch.from_numpy(counts.astype(np.float32))
    top = top_k_of_blocks(scores, k, exclude=exclude, instead=(strangers, counts))
    same(top, top_k(whole, k, exclude=exclude))


def test_what_cannot_be_ranked_is_named() -> None:
    scores = factors(80)
    scores.columns[500, 3] = torch.nan
    with pytest.raises(recae.DataError, match="NaN .*row 0, column 500"):
        top_k_of_blocks(scores, 3)
    allowed = np.ones(N_ITEMS, dtype=bool)
    allowed[500] = False
    assert (top_k_of_blocks(scores, 3, allowed=allowed).items != 500).all()


def mixture(rows: int) -> MixtureScores:
    generator = torch.Generator().manual_seed(rows)
    codes, items = (torch.randn(*s, generator=generator) for s in ((rows, 3, 5), (N_ITEMS, 5)))
    shares = torch.randn(N_ITEMS, 3, generator=generator).log_softmax(1)
    unit = torch.nn.functional.normalize
    return MixtureScores(unit(codes, dim=2), unit(items, dim=1), shares)


def without_input(rows: int) -> FactoredScores:
    seen = sp.random(rows, N_ITEMS, 0.05, format="csr", random_state=1, dtype=np.float32)
    scores = factors(rows)
    return FactoredScores(scores.rows, scores.columns, minus=Ragged.from_csr(seen))


@pytest.mark.parametrize("make", [factors, mixture, without_input])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_are_parts_of_the_scores(make, threads) -> None:
    scores: BlockScores = make(300)
    whole, before = scores.dense(), torch.get_num_threads()
    assert whole.shape == scores.shape
    for rows, columns in ((slice(0, 300), slice(0, 70)), (slice(17, 51), slice(300, 900))):
        part = torch.empty(rows.stop - rows.start, columns.stop - columns.start)
        scores.write(part, rows, columns)
        torch.testing.assert_close(part, whole[rows, columns], rtol=1e-5, atol=1e-5)
    try:
        torch.set_num_threads(threads)
        found = top_k_of_blocks(scores, 7)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    expected = top_k(whole, 7)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
    assert (found.items == expected.items).mean() > 0.99


@pytest.mark.parametrize("intel", [True, False])
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize(("n", "columns"), [(5, 7), (50, 3), (1, 1), (30, 200), (0, 4)])
def test_every_library_gives_the_product(intel, onednn, n, columns, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_intel", lambda: intel)
    if not onednn:
        monkeypatch.setattr(kernels, "_onednn", lambda: None)
    rng = np.random.default_rng(n)
    rows, others = (
        torch.from_numpy(rng.standard_normal((m, n)).astype(np.float32)) for m in (150, columns)
    )
    bias = torch.from_numpy(rng.standard_normal(columns).astype(np.float32))
    whole = rows.double() @ others.double().t()
    for some in (slice(0, 150), slice(3, 4), slice(0, 0)):
        np.testing.assert_allclose(multiply(rows[some], others), whole[some], atol=1e-4)
        np.testing.assert_allclose(
            multiply(rows[some], others, bias), whole[some] + bias, atol=1e-4
        )
    np.testing.assert_allclose(product(rows, others.t()), whole, atol=1e-4)
    square = rows.double().t() @ rows.double()
    np.testing.assert_allclose(product(rows.t(), rows), square, rtol=1e-5, atol=1e-4)
    wide = torch.full((150, columns + 2), 7.0)
    multiply(rows, others, None, wide[:, 1:-1])
    np.testing.assert_allclose(wide[:, 1:-1], whole, atol=1e-4)
    assert (wide[:, [0, -1]] == 7).all()


@pytest.mark.parametrize("columns", [1, 7, 8, 203])
def test_narrow_rows_on_a_gpu_begin_at_multiples_of_16_bytes(columns) -> None:
    left, right = torch.randn(5, 6).bfloat16(), torch.randn(6, columns).bfloat16()
    with PretendGPU():
        found = product(left.to("cuda"), right.to("cuda"))
        assert found.shape == (5, columns) and found.stride(0) * found.itemsize % 16 == 0
        again = product(found.t(), left.to("cuda"))  # as the gradient of a weight
        found, again = found.cpu(), again.cpu()
    assert torch.equal(found, left @ right)
    assert torch.equal(again, (left @ right).t() @ left)


def test_who_scores_otherwise_is_ranked_by_that() -> None:
    class Backwards(recae.PureSVD):
        name = "backwards"

        def _score_rows(self, matrix):
            return -dense(super()._score_rows(matrix))

    rng = np.random.default_rng(0)
    data = recae.Interactions.from_csr(sp.csr_matrix(rng.random((30, 20)) < 0.6, dtype=float))
    model = Backwards(latent=3).fit(data)
    plain = recae.PureSVD(latent=3).fit(data)
    np.testing.assert_array_equal(model.score(data), -plain.score(data))
    top = model.recommend_array(data, 5, exclude_seen=False)
    np.testing.assert_array_equal(top.items, top_k(-torch.from_numpy(plain.score(data)), 5).items)


@pytest.mark.parametrize("name", ["als", "bpr", "pure-svd", "mult-vae", "cdae", "elsa", "h-vamp"])
def test_scores_of_lists_are_those_of_score(name) -> None:
    rng = np.random.default_rng(1)
    matrix = sp.csr_matrix(rng.random((300, N_ITEMS)) < 0.02, dtype=float)
    data = recae.Interactions.from_csr(matrix)
    model = (
        recae.MODELS[name](latent=5, epochs=1) if name != "pure-svd" else recae.PureSVD(latent=5)
    )
    model.fit(data)
    assert isinstance(model._score_rows(data.matrix[:3]), FactoredScores)
    expected = top_k(torch.from_numpy(model.score(data)), 20, exclude=data.matrix)
    top = model.recommend_array(data, 20)
    assert_same_lists(top, expected)
    alone = model.recommend_array(data.matrix[[7]], 20)
    assert_same_lists(alone, TopK(expected.items[[7]], expected.scores[[7]]))
    assert isinstance(model.recommend([7]), pd.DataFrame)


def test_who_mixes_in_other_scores_is_ranked_by_them() -> None:
    class Reversed:
        def _score_rows(self, matrix):
            return -dense(super()._score_rows(matrix))

    class Worst(Reversed, recae.PureSVD):
        name = "worst"

    rng = np.random.default_rng(0)
    data = recae.Interactions.from_csr(sp.csr_matrix((rng.random((20, 30)) < 0.3).astype("f4")))
    model = Worst(latent=3).fit(data)
    top = model.recommend_array(data, k=4, exclude_seen=False)
    expected = top_k(torch.from_numpy(model.score(data)), 4)
    np.testing.assert_array_equal(top.items, expected.items)
