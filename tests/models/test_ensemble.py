"""The blend: standardised by hand, weights against a plain optimiser, members matched by id."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import ConfigError, DataError, Interactions
from recae.metrics import parse_metric
from recae.models import _blend, ensemble
from recae.ranking.batches import dense
from recae.rng import Stream, numpy_generator

RNG = np.random.default_rng(6)


def taste(users: int, items: int = 14) -> sp.csr_matrix:
    """Two groups of users who like different halves, with a little chance."""
    first = np.arange(users) % 2
    likes = np.where(np.arange(items)[None, :] % 2 == first[:, None], 0.6, 0.1)
    return sp.csr_matrix((RNG.random((users, items)) < likes) * 1.0)


TRAIN = Interactions.from_csr(taste(60))
FOLD = recae.data.splits.holdout_pairs(Interactions.from_csr(taste(40)), 0.4, seed=2).validation
MODELS = [recae.EASE(l2=5.0).fit(TRAIN), recae.PureSVD(latent=2).fit(TRAIN)]


def by_hand(model: recae.Recommender, matrix: sp.csr_matrix) -> np.ndarray:
    """Row by row: the mean and the deviation of what is not in the history."""
    scores = model.score(matrix).astype(np.float64)
    for row, seen in zip(scores, matrix.toarray() > 0, strict=True):
        row -= row[~seen].mean()
        row /= row[~seen].std()
    return scores


def test_equal_weights_are_sums_of_standardised_scores() -> None:
    blend = recae.Ensemble.of(MODELS)
    expected = sum(by_hand(model, TRAIN.matrix) for model in MODELS)
    np.testing.assert_allclose(blend.score(TRAIN), expected, atol=1e-5)
    assert blend.member_weights_.tolist() == [1, 1]


def test_a_member_that_only_harms_gets_nothing() -> None:
    class Contrary(recae.PureSVD):
        name = "contrary"

        def _score_rows(self, matrix):
            return -dense(super()._score_rows(matrix))

    good, bad = recae.EASE(l2=5.0).fit(TRAIN), Contrary(latent=2).fit(TRAIN)
    weights = recae.Ensemble.of([good, bad], FOLD).member_weights_
    assert weights[0] > 0.1 and weights[1] == pytest.approx(0, abs=1e-9)


def ranked(weights: np.ndarray, fold: recae.Fold, models: list = MODELS) -> float:
    """NDCG@5 of the blend written out, on the fold."""
    scores = sum(w * by_hand(m, fold.history.matrix) for w, m in zip(weights, models, strict=True))
    scores[fold.history.matrix.toarray() > 0] = -np.inf
    gains = 1 / np.log2(np.arange(2, 7))
    values = []
    for row, target in zip(scores, fold.target.matrix.toarray() > 0, strict=True):
        order = np.lexsort((np.arange(len(row)), -row))[:5]
        values.append((target[order] * gains).sum() / gains[: min(target.sum(), 5)].sum())
    return float(np.mean(values))


def test_no_member_and_no_grid_ranks_much_better_than_the_blend() -> None:
    blend = recae.Ensemble(metric="ndcg@5", members=("EASE(l2=5.0)", "PureSVD(latent=2)"))
    found = ranked(blend.fit(TRAIN, FOLD).member_weights_, FOLD)
    assert blend.member_weights_.mean() == pytest.approx(1)
    assert found >= max(ranked(np.array(w), FOLD) for w in ([1, 0], [0, 1], [1, 1]))
    grid = [ranked(np.array([share, 1 - share]), FOLD) for share in np.linspace(0, 1, 101)]
    assert found > max(grid) - 0.01


def test_weights_change_by_two_and_by_one_and_a_half_while_that_ranks_better() -> None:
    models = [*MODELS, recae.Popularity().fit(TRAIN)]

    def value(weights: np.ndarray) -> float:
        return ranked(weights, FOLD, models)

    best = np.ones(3)
    while best.sum() > 1:
        without = [best - one for one in np.eye(3) if (best - one).min() >= 0]
        if max(map(value, without)) <= value(best):
            break
        best = max(without, key=value)  # the first of equals
    best = max([best, *np.eye(3)], key=value)
    for step in (2, 2, 1.5, 1.5):
        for member in np.flatnonzero(best):
            for factor in (step, 1 / step):
                trial = best * np.where(np.arange(3) == member, factor, 1)
                best = max([best, trial], key=value)
    blend = recae.Ensemble.of(models, FOLD, metric="ndcg@5")
    np.testing.assert_allclose(blend.member_weights_, best / best.mean())


def test_halves_of_the_users_give_each_other_weights() -> None:
    metric = parse_metric("ndcg@5")
    found = recae.Ensemble.of(MODELS, metric="ndcg@5")._candidates(FOLD, 0)
    values = _blend.cross_fitted(found, metric, seed=3)
    order = numpy_generator(3, Stream.BLEND_HALVES).permutation(len(found))
    halves = [np.sort(half) for half in np.array_split(order, 2)]
    for half, other in (halves, halves[::-1]):
        weights = _blend.fit_weights(found.part(torch.from_numpy(other)), metric)
        np.testing.assert_array_equal(values[half], found.per_user(weights, metric)[half])


def test_fitted_models_are_blended_by_the_metric_that_is_asked_for() -> None:
    blend = recae.Ensemble.of(MODELS, FOLD, metric="ndcg@5")
    fitted = recae.Ensemble(metric="ndcg@5", members=("EASE(l2=5.0)", "PureSVD(latent=2)"))
    assert blend.metric == "ndcg@5"
    np.testing.assert_array_equal(blend.member_weights_, fitted.fit(TRAIN, FOLD).member_weights_)
    with pytest.raises(ConfigError, match="unknown metric 'ndgc'"):
        recae.Ensemble.of(MODELS, FOLD, metric="ndgc@5")
    with pytest.raises(DataError, match="validation .*target"):
        recae.Ensemble.of(MODELS, recae.Fold(FOLD.history, FOLD.target.keep(np.zeros(60, bool))))


def test_the_weights_of_known_users_rank_their_hidden_items(tmp_path) -> None:
    split = recae.data.splits.holdout_pairs(TRAIN, 0.3, seed=1)
    models = [recae.EASE(l2=5.0).fit(split.train), recae.PureSVD(latent=2).fit(split.train)]
    fold = split.validation
    blend = recae.Ensemble.of(models, fold, metric="ndcg@5")
    found = recae.evaluate(blend, fold, "ndcg@5", progress=False)["ndcg@5"]
    alone = [recae.evaluate(model, fold, "ndcg@5", progress=False)["ndcg@5"] for model in models]
    assert found >= max(alone)
    assert (
        blend.validation_users_ == fold.target.n_users == (np.diff(TRAIN.matrix.indptr) > 1).sum()
    )
    assert recae.load(blend.save(tmp_path / "blend")).validation_users_ == fold.target.n_users
    assert recae.Ensemble.of(models).validation_users_ == 0


def test_weights_stay_when_members_are_fitted_again_on_all_data() -> None:
    blend = recae.Ensemble.of(MODELS, FOLD, metric="ndcg@5")
    more = Interactions.from_csr(sp.vstack([TRAIN.matrix, FOLD.history.matrix]).tocsr())
    again = [model.clone().fit(more) for model in MODELS]
    found = blend.with_members(again)
    expected = sum(
        w * by_hand(model, TRAIN.matrix)
        for w, model in zip(blend.member_weights_, again, strict=True)
    )
    np.testing.assert_allclose(found.score(TRAIN.matrix), expected, atol=1e-5)
    assert found.metric == "ndcg@5" and found.validation_users_ == blend.validation_users_
    for others in (again[:1], again[::-1]):
        with pytest.raises(ConfigError, match=f"{type(MODELS[0]).__name__}.*order"):
            blend.with_members(others)


def candidates(
    best: int, monkeypatch: pytest.MonkeyPatch, cells: int = 1 << 20
) -> _blend.Candidates:
    monkeypatch.setattr(_blend, "BEST", best)
    monkeypatch.setattr(_blend, "CELLS", cells)
    blend, history = recae.Ensemble.of(MODELS), FOLD.history.matrix
    parts = history, history, FOLD.target.matrix
    return _blend.Candidates.of(2, blend._standardised, *parts, parse_metric("ndcg@1"), 0)


def test_candidates_are_the_best_items_of_each_member(monkeypatch) -> None:
    found = candidates(5, monkeypatch)
    scores = [by_hand(model, FOLD.history.matrix) for model in MODELS]
    seen = FOLD.history.matrix.toarray() > 0
    for row, items in enumerate(found.items.numpy()):
        expected = set()
        for member in scores:
            left = np.where(seen[row], -np.inf, member[row])
            expected |= {item for item in np.argsort(-left)[:5] if not seen[row][item]}
        assert set(items[items >= 0]) == expected
        for member, own in zip(scores, found.scores.numpy(), strict=True):
            np.testing.assert_allclose(
                own[row][items >= 0], member[row][items[items >= 0]], atol=1e-5
            )
    metric = parse_metric("ndcg@5")
    for weights in ([1.0, 0.0], [0.0, 1.0], [0.4, 1.6]):
        assert found.value(np.array(weights), metric) == pytest.approx(ranked(weights, FOLD))


def test_users_that_do_not_fit_are_left_out(monkeypatch) -> None:
    found, whole = (candidates(5, monkeypatch, cells) for cells in (20 * 4 * 14, 1 << 20))
    assert 15 < len(found) < 30 and len(whole) == 39
    assert found.scores.numel() + 2 * found.items.numel() <= 20 * 4 * 14
    rows = {tuple(row) for row in whole.target.toarray()}
    assert {tuple(row) for row in found.target.toarray()} <= rows


@pytest.mark.parametrize("metric", ["coverage@5", "novelty@5"])
def test_a_metric_that_cannot_choose_is_refused(metric: str) -> None:
    with pytest.raises(ConfigError, match="metric .*hits"):
        recae.Ensemble(metric=metric).fit(TRAIN)


def test_members_are_matched_by_item_id() -> None:
    # The same interactions under ids in another order, and with an item that only one has seen.
    frame = TRAIN.to_frame()
    more = pd.concat([frame, pd.DataFrame({"user_id": [0, 1], "item_id": [99, 99], "weight": 1.0})])
    with pytest.warns(recae.RecaeWarning, match="1 items .*left out"):
        blend = recae.Ensemble.of([MODELS[0], recae.Popularity().fit(more)])
    backwards = Interactions.from_csr(
        sp.csr_matrix(TRAIN.matrix[:, ::-1]), items=TRAIN.items.ids[::-1].copy()
    )
    other = recae.Ensemble.of([MODELS[0], recae.Popularity().fit(backwards)])
    plain = recae.Ensemble.of([MODELS[0], recae.Popularity().fit(TRAIN)])
    for found in (blend, other):
        pd.testing.assert_frame_equal(
            found.recommend(history=frame, k=5), plain.recommend(history=frame, k=5)
        )


def test_models_without_a_common_item_are_refused() -> None:
    strange = Interactions.from_csr(TRAIN.matrix, items=np.arange(100, 114))
    with pytest.raises(DataError, match="no item"):
        recae.Ensemble.of([MODELS[0], recae.Popularity().fit(strange)])


def test_it_fits_its_own_members_and_comes_back_from_disk(tmp_path) -> None:
    members = ("EASE(l2=5.0)", "MultVAE(latent=4, hidden=(6,), epochs=2)")
    blend = recae.Ensemble(members=members).fit(TRAIN, FOLD, seed=3)
    vae = recae.MultVAE(latent=4, hidden=(6,), epochs=2).fit(TRAIN, FOLD, seed=3)
    alone = recae.Ensemble.of([recae.EASE(l2=5.0).fit(TRAIN), vae], FOLD)
    np.testing.assert_array_equal(blend.score(FOLD.history), alone.score(FOLD.history))
    read = recae.load(blend.save(tmp_path / "blend"))
    np.testing.assert_array_equal(read.score(FOLD.history), blend.score(FOLD.history))
    assert repr(read) == repr(blend)


def test_what_is_never_listed_counts_as_the_lowest() -> None:
    scores = np.array([[3.0, -np.inf, 1.0, 5.0], [-np.inf] * 4, [2.0] * 4])
    found = ensemble.standardise(scores, np.array([3]))
    # The first row without its last cell: 3, 1, 1, with mean 5/3 and deviation sqrt(8/9).
    expected = (np.array([3, 1, 1, 5]) - 5 / 3) / np.sqrt(8 / 9)
    np.testing.assert_allclose(found, [expected, np.zeros(4), np.zeros(4)], atol=1e-6)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((), "members .*one model"),
        (("EASE",), r"'EASE\(l2=500.0\)', not 'EASE'"),
        (("EASE(5)",), r"'EASE\(l2=500.0\)', not 'EASE\(5\)'"),
        (("EASE(l2=open('x'))",), r"'EASE\(l2=500.0\)', not .*open"),
        (("recae.EASE()",), r"'EASE\(l2=500.0\)', not 'recae"),
        (("EASY()",), "members 'EASY'.* mean 'EASE'"),
        (("EASE(precison='x')",), "EASE 'precison'.* mean 'precision'"),
        (("EASE(l2=-5)",), "l2 .*EASE .*> 0, not -5"),
    ],
)
def test_members_that_cannot_be_are_named(members, message) -> None:
    with pytest.raises(ConfigError, match=message):
        recae.Ensemble(members=members).fit(TRAIN)


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ([], ConfigError, "one .*model$"),
        ([recae.EASE()], recae.errors.NotFittedError, "not fitted"),
        (["EASE()"], ConfigError, "fitted models, not 'EASE"),
        (recae.EASE(), ConfigError, r"list .*not EASE\(\)"),
        (None, ConfigError, "list .*not None"),
    ],
)
def test_only_fitted_models_can_be_blended(models, error, message) -> None:
    with pytest.raises(error, match=message):
        recae.Ensemble.of(models)


def test_numbers_of_numpy_are_settings_of_members(tmp_path) -> None:
    svd = recae.PureSVD(latent=np.int64(3)).fit(TRAIN)
    blend = recae.Ensemble.of([recae.EASE(l2=np.logspace(1, 2, 2)[1]).fit(TRAIN), svd])
    again = recae.load(blend.save(tmp_path / "blend"))
    assert again.members_[0].get_params()["l2"] == 100.0
    assert again.members_[1].get_params()["latent"] == 3
    np.testing.assert_array_equal(again.score(TRAIN), blend.score(TRAIN))


def test_targets_that_no_member_knows_are_refused() -> None:
    both = sp.csr_matrix([[1, 0], [0, 1.0]]), sp.csr_matrix([[0, 1], [1, 0.0]])
    history, target = (Interactions.from_csr(part, items=[901, 902]) for part in both)
    with pytest.warns(recae.RecaeWarning), pytest.raises(DataError, match="no target"):
        recae.Ensemble.of(MODELS, recae.Fold(history, target))


def test_it_depends_on_the_seed_where_a_member_does() -> None:
    assert recae.Ensemble(members=("EASE()", "MultVAE()")).uses_seed
    assert not recae.Ensemble(members=("EASE()", "Popularity()")).uses_seed


def test_an_ensemble_goes_on_where_a_member_was_interrupted(tmp_path) -> None:
    members = (
        "MultVAE(latent=4, hidden=(6,), epochs=3)",
        "MultDAE(latent=4, epochs=3)",
    )
    whole = recae.Ensemble(members=members).fit(TRAIN, FOLD, seed=3)
    seen = []

    def stop(epoch) -> None:
        seen.append(epoch.number)
        if len(seen) == 5:  # in the second member
            raise KeyboardInterrupt

    blend, file = recae.Ensemble(members=members), tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        blend.fit(TRAIN, FOLD, seed=3, callbacks=stop, checkpoint=file)
    assert {path.name for path in tmp_path.iterdir()} == {"c.0", "c.1"}
    with pytest.raises(recae.errors.NotFittedError):
        blend.recommend(history=TRAIN)
    blend.fit(TRAIN, FOLD, seed=3, checkpoint=file)
    np.testing.assert_array_equal(blend.score(FOLD.history), whole.score(FOLD.history))


def test_an_ensemble_of_loaded_models_is_saved(tmp_path) -> None:
    loaded = [recae.load(model.save(tmp_path / str(n))) for n, model in enumerate(MODELS)]
    blend = recae.Ensemble.of(loaded)
    again = recae.load(blend.save(tmp_path / "blend"))
    np.testing.assert_array_equal(again.score(FOLD.history), blend.score(FOLD.history))
