"""ALS: the fold-in against Hu et al., and none of the traps of the library behind it."""

import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_info, threadpool_limits

import recae
from recae.models.factors.als import ONE_BLAS
from recae.ranking import batches as rank
from tests.laws import assert_same_frames

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


def test_the_fit_ends_where_neither_side_can_be_bettered() -> None:
    # Users solved from the items, then items solved from those users (the same equations with the
    # sides changed): at the minimum of the documented sum of squares this gives the items again.
    model = recae.ALS(latent=3, l2=2.0, alpha=5.0, epochs=300).fit(X)
    x = X.toarray()
    items = model.item_factors_.astype(np.float64)
    users = np.array([folded_in(row, items, 5.0, 2.0) for row in x])
    again = np.array([folded_in(column, users, 5.0, 2.0) for column in x.T])
    np.testing.assert_allclose(items, again, atol=2e-4)
    assert np.linalg.norm(items) > 1


def test_similar_items_are_cosines_in_any_batch(monkeypatch) -> None:
    model = recae.ALS(latent=5, epochs=2).fit(X)
    vectors = model.item_factors_.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    frame = model.similar_items([7, 3], k=24)
    for item in (7, 3):
        rows = frame[frame["item_id"] == item]
        np.testing.assert_allclose(rows["score"], np.sort(cosines[item])[::-1][:24], atol=1e-6)
        assert set(rows["similar_item_id"]) == set(range(25)) - {item}
        alone = model.similar_items(item, k=24)
        np.testing.assert_allclose(alone["score"], rows["score"], atol=1e-5)
    assert list(frame.columns) == ["item_id", "similar_item_id", "score", "rank"]
    whole = model.similar_items(np.arange(25).repeat(8), k=3)  # more than a batch of 64
    monkeypatch.setattr(rank, "BATCH_CELLS", 1)
    assert_same_frames(model.similar_items(np.arange(25).repeat(8), k=3), whole)
    assert len(model.similar_items([])) == 0
    with pytest.raises(recae.DataError, match="unknown item 99"):
        model.similar_items([1, 99])


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


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_threads_come_back_when_the_last_of_several_callers_leaves() -> None:
    with threadpool_limits(2, user_api="blas"):
        ONE_BLAS.__enter__()  # two threads, of which the first to come is the first to go
        ONE_BLAS.__enter__()
        assert set(blas_threads()) == {1}
        ONE_BLAS.__exit__()
        assert set(blas_threads()) == {1}
        ONE_BLAS.__exit__()
        assert set(blas_threads()) == {2}
        with pytest.raises(ZeroDivisionError), ONE_BLAS:
            _ = 1 / 0
        assert set(blas_threads()) == {2}


def test_what_cannot_be_solved_says_which_setting_to_change() -> None:
    with pytest.raises(recae.ConfigError, match="alpha .*ALS .*> 0, not 0"):
        recae.ALS(alpha=0).fit(X)
    # More factors than items and no ridge: the equations of a user are singular.
    model = recae.ALS(latent=40, l2=0, epochs=1).fit(X)
    with pytest.raises(recae.ConfigError, match="solution .*l2=0: raise l2"):
        model.score(X)
    huge = X * 3e38
    with pytest.raises(recae.errors.TrainingError, match="extreme weights"):
        recae.ALS(latent=4, epochs=1, weights="target").fit(huge)


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def at_sweep(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Raises an error when so many sweeps are done, once the checkpoint is written."""
    from recae.models.factors import als

    class Sweeps(als._Sweeps):
        def go_on(self, confidences: object, after_sweep: object) -> None:
            def callback(*progress: object) -> None:
                after_sweep(*progress)  # type: ignore[operator]
                if self.done == number:
                    raise error

            super().go_on(confidences, callback)

    monkeypatch.setattr(als, "_Sweeps", Sweeps)
    monkeypatch.setattr("recae.training.checkpoint.SHARE", float("inf"))


@pytest.mark.parametrize("killed", [1, 4, 6])
def test_a_killed_fit_goes_on_to_the_same_bits(monkeypatch, tmp_path, killed: int) -> None:
    whole = recae.ALS(latent=6, epochs=6).fit(X, seed=5)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_sweep(patch, killed, Killed())
        recae.ALS(latent=6, epochs=6).fit(X, seed=5, checkpoint=tmp_path / "c")
    # Without a checkpoint for the sweeps done, the first of the rest would begin from chance.
    resumed = recae.ALS(latent=6, epochs=6).fit(X, seed=5, checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(resumed.item_factors_, whole.item_factors_)
    np.testing.assert_array_equal(resumed.score(X), whole.score(X))
    with pytest.raises(recae.ConfigError, match="c .*seed 5.* 6"):
        recae.ALS(latent=6, epochs=6).fit(X, seed=6, checkpoint=tmp_path / "c")


def test_ctrl_c_keeps_the_factors(monkeypatch) -> None:
    with monkeypatch.context() as patch:
        at_sweep(patch, 2, KeyboardInterrupt())
        model = recae.ALS(latent=6, epochs=9)
        with pytest.raises(recae.errors.TrainingInterrupted, match="after 2 of 9 sweeps"):
            model.fit(X, seed=5)
    two = recae.ALS(latent=6, epochs=2).fit(X, seed=5)
    np.testing.assert_array_equal(model.score(X), two.score(X))
