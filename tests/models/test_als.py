"""ALS: the fold-in against Hu et al., and none of the traps of the library behind it."""

import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_info

import recae

X = sp.csr_matrix((np.random.default_rng(0).random((60, 25)) < 0.2) * 1.0)


def folded_in(history: np.ndarray, items: np.ndarray, alpha: float, l2: float) -> np.ndarray:
    """x_u = (Y'C Y + l2 I)^-1 Y'C p with c = alpha x weight where there is one, else 1."""
    confidence = np.where(history > 0, alpha * history, 1.0)
    gram = items.T @ (confidence[:, None] * items) + l2 * np.eye(items.shape[1])
    return np.linalg.solve(gram, items.T @ (confidence * (history > 0)))


@pytest.mark.parametrize("weights", ["neither", "target"])
def test_users_are_folded_in_exactly(weights: str) -> None:
    model = recae.ALS(latent=6, l2=2.0, alpha=5.0, epochs=3, weights=weights).fit(X)
    strangers = np.zeros((3, 25))
    strangers[0, [1, 4]], strangers[1, 7], strangers[2, [0, 9, 20]] = [1, 3], 2, [1, 1, 4]
    used = strangers if weights == "target" else (strangers > 0) * 1.0
    items = model.item_factors_.astype(np.float64)
    expected = np.array([folded_in(row, items, 5.0, 2.0) for row in used])
    vectors = model.embed_users(sp.csr_matrix(strangers))
    np.testing.assert_allclose(vectors, expected, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(
        model.score(sp.csr_matrix(strangers)), expected @ items.T, rtol=5e-3, atol=1e-4
    )


def test_a_user_with_few_items_left_gets_few_and_never_a_seen_one() -> None:
    model = recae.ALS(latent=4, epochs=2).fit(X)
    almost = np.ones((1, 25))
    almost[0, [3, 8]] = 0
    assert sorted(model.recommend(history=sp.csr_matrix(almost), k=10)["item_id"]) == [3, 8]


def test_it_is_silent_and_leaves_blas_threads_as_they_were(capfd: pytest.CaptureFixture) -> None:
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    model = recae.ALS(latent=4, epochs=2).fit(X)
    model.recommend(k=3, on_unknown="popular")
    after = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    assert [pool for pool in after if pool[0] in dict(before)] == before
    assert capfd.readouterr() == ("", "")


def test_a_seed_fixes_the_factors() -> None:
    first, again, other = (recae.ALS(latent=4, epochs=2).fit(X, seed=s) for s in (1, 1, 2))
    assert (first.item_factors_ == again.item_factors_).all()
    assert not np.allclose(first.item_factors_, other.item_factors_)


def test_the_matrix_handed_in_is_not_touched() -> None:
    matrix = X.copy()
    recae.ALS(latent=4, epochs=1).fit(matrix)
    assert (matrix != X).nnz == 0 and matrix.dtype == X.dtype
