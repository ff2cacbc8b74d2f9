"""Mult-VAE and Mult-DAE on planted tastes, and against their equations written in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError, Fold, Interactions, MultDAE, MultVAE
from tests.laws import assert_same_scores

BLOCKS, WIDTH = 4, 8
N_ITEMS = BLOCKS * WIDTH


def block_users(n_users: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Users (n, items) 0 or 1 with 5 of the 8 items of their block and 1 of another, and blocks."""
    rng = np.random.default_rng(seed)
    dense, blocks = np.zeros((n_users, N_ITEMS)), np.arange(n_users) % BLOCKS
    for user, block in enumerate(blocks):
        dense[user, block * WIDTH + rng.choice(WIDTH, 5, replace=False)] = 1
        dense[user, (block * WIDTH + WIDTH + rng.integers(N_ITEMS - WIDTH)) % N_ITEMS] = 1
    return dense, blocks


TRAIN, TRAIN_BLOCKS = block_users(200, seed=1)
NEW, NEW_BLOCKS = block_users(40, seed=2)
DATA = Interactions.from_csr(sp.csr_matrix(TRAIN))
SETTINGS: dict[str, Any] = {"latent": 8, "hidden": (32,), "batch_size": 25, "lr": 0.01}


def fold(dense: np.ndarray) -> Fold:
    """Each user's first two items are hidden."""
    target = np.zeros_like(dense)
    for row, line in enumerate(dense):
        target[row, np.flatnonzero(line)[:2]] = 1
    history, hidden = (Interactions.from_csr(sp.csr_matrix(x)) for x in (dense - target, target))
    return Fold(history, hidden)


@pytest.fixture(scope="module", params=[MultVAE, MultDAE])
def trained(request: pytest.FixtureRequest) -> Any:
    paper = {"mirror": True} if request.param is MultVAE else {}
    return request.param(**SETTINGS, **paper, epochs=30).fit(DATA)


def test_strangers_get_the_items_of_their_block(trained) -> None:
    top = trained.recommend_array(sp.csr_matrix(NEW), 3)  # three of the block are left
    right = top.items // WIDTH == NEW_BLOCKS[:, None]
    assert right.mean() > 0.95
    popular = recae.Popularity().fit(DATA)
    measured = [recae.evaluate(model, fold(NEW), ["ndcg@5"]) for model in (trained, popular)]
    assert measured[0]["ndcg@5"] > 2 * measured[1]["ndcg@5"]


def test_similar_items_are_of_the_same_block(trained) -> None:
    frame = trained.similar_items(range(N_ITEMS), k=3)
    same = frame["item_id"] // WIDTH == frame["similar_item_id"] // WIDTH
    assert same.mean() > 0.95
    assert trained.item_embeddings_.shape == (N_ITEMS, 32)


def test_embedded_users_lie_beside_their_like(trained) -> None:
    codes = trained.embed_users(sp.csr_matrix(NEW))
    assert codes.shape == (40, 8) and codes.dtype == np.float32
    np.testing.assert_array_equal(codes, trained.embed_users(sp.csr_matrix(NEW)))  # no noise
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    nearest = (unit @ unit.T - 2 * np.eye(40)).argmax(axis=1)
    assert (NEW_BLOCKS[nearest] == NEW_BLOCKS).mean() > 0.9


def test_scores_and_codes_are_those_of_the_equations(trained) -> None:
    p = {name: value.cpu().numpy().astype(np.float64) for name, value in trained._arrays().items()}
    x = NEW / np.linalg.norm(NEW, axis=1, keepdims=True)
    hidden = np.tanh(x @ p["encoder.0.weight"] + p["encoder.0.bias"])
    if isinstance(trained, MultVAE):
        z = hidden @ p["code.mu.weight"].T + p["code.mu.bias"]
    else:
        z = np.tanh(hidden @ p["encoder.2.weight"].T + p["encoder.2.bias"])
    hidden = np.tanh(z @ p["decoder.layers.0.weight"].T + p["decoder.layers.0.bias"])
    scores = hidden @ p["decoder.head.weight"].T + p["decoder.head.bias"]
    np.testing.assert_allclose(trained.embed_users(sp.csr_matrix(NEW)), z, atol=1e-5)
    np.testing.assert_allclose(trained.score(sp.csr_matrix(NEW)), scores, atol=1e-4)


@pytest.mark.parametrize("kind", [MultVAE, MultDAE])
def test_early_stopping_keeps_the_best_epoch(kind) -> None:
    settings = SETTINGS | {"epochs": 60, "patience": 3, "metric": "recall@5", "lr": 0.03}
    model = kind(**settings).fit(DATA, validation=fold(NEW))
    curve = [epoch.metrics["recall@5"] for epoch in model.epochs_]
    assert len(curve) < 60
    assert curve.index(max(curve)) == len(curve) - 1 - 3
    assert recae.evaluate(model, fold(NEW), ["recall@5"])["recall@5"] == max(curve)
    again = kind(**settings).fit(DATA, validation=fold(NEW))
    np.testing.assert_array_equal(again.score(DATA), model.score(DATA))


@pytest.mark.parametrize("kind", [MultVAE, MultDAE])
def test_a_validation_fold_that_cannot_measure_is_refused_before_training(kind) -> None:
    def never(epoch: object) -> None:
        raise AssertionError("an epoch was trained")

    nothing = Interactions.from_csr(sp.csr_matrix(NEW.shape))
    empty = Fold(Interactions.from_csr(sp.csr_matrix(NEW)), nothing)
    with pytest.raises(DataError, match="no user .*validation.*target"):
        kind(**SETTINGS, epochs=1).fit(DATA, validation=empty, callbacks=[never])
    with pytest.raises(DataError, match="validation .*Fold, .*not Interactions"):
        kind(**SETTINGS, epochs=1).fit(DATA, validation=DATA, callbacks=[never])


@pytest.mark.parametrize("kind", [MultVAE, MultDAE])
class TestWeights:
    """Where the weights of interactions go; first losses are arithmetic, before any update."""

    def first_loss(self, kind: Any, dense: np.ndarray, weights: str) -> float:
        # One batch: its loss is taken before the first update, and KL annealing starts at zero.
        model = kind(**(SETTINGS | {"batch_size": 200}), epochs=1, weights=weights)
        return model.fit(sp.csr_matrix(dense)).epochs_[0].loss

    def test_neither_changes_nothing(self, kind) -> None:
        weighted = TRAIN * np.random.default_rng(3).uniform(0.1, 9, TRAIN.shape)
        plain = kind(**SETTINGS, epochs=2).fit(DATA)
        model = kind(**SETTINGS, epochs=2).fit(sp.csr_matrix(weighted))
        np.testing.assert_array_equal(model.score(DATA), plain.score(DATA))
        np.testing.assert_array_equal(model.score(sp.csr_matrix(weighted)), plain.score(DATA))

    def test_a_target_counts_as_often_as_its_weight(self, kind) -> None:
        plain = self.first_loss(kind, TRAIN, "neither")
        assert self.first_loss(kind, 3 * TRAIN, "target") == pytest.approx(3 * plain, rel=1e-5)
        # Weights of one length cancel in the input, which is scaled to length one.
        assert self.first_loss(kind, 3 * TRAIN, "input") == pytest.approx(plain, rel=1e-5)
        assert self.first_loss(kind, 3 * TRAIN, "both") == pytest.approx(3 * plain, rel=1e-5)

    @pytest.mark.filterwarnings("ignore::recae.RecaeWarning")  # the weights span a factor of 1000
    def test_an_item_of_great_weight_scores_higher(self, kind) -> None:
        dear = TRAIN.copy()
        dear[:, 11] *= 1000
        share = {}
        for weights in ("neither", "target"):
            model = kind(**SETTINGS, epochs=3, weights=weights).fit(sp.csr_matrix(dear))
            scores = model.score(sp.csr_matrix(NEW)).astype(np.float64)
            share[weights] = np.exp(scores[:, 11]) / np.exp(scores).sum(axis=1)
        assert (share["target"] > 5 * share["neither"]).all()
        assert (share["target"] > 0.5).all()

    def test_the_input_is_weighted_only_when_asked(self, kind) -> None:
        weighted = sp.csr_matrix(NEW * np.random.default_rng(3).uniform(0.1, 9, NEW.shape))
        for weights, changes in (("target", False), ("input", True), ("both", True)):
            model = kind(**SETTINGS, epochs=1, weights=weights).fit(DATA)
            same = np.array_equal(model.score(weighted), model.score(sp.csr_matrix(NEW)))
            assert same != changes, weights
            assert (
                np.array_equal(model.embed_users(weighted), model.embed_users(sp.csr_matrix(NEW)))
                == same
            )


def test_without_annealing_the_kl_term_counts_from_the_first_update() -> None:
    def first_loss(**params: Any) -> float:
        model = MultVAE(**(SETTINGS | {"batch_size": 200}), epochs=1, **params)
        return model.fit(DATA).epochs_[0].loss

    annealed = first_loss(anneal=0.5, beta=1.0)
    assert first_loss(anneal=1, beta=0.3) == annealed  # beta is zero at the first update
    one, two = first_loss(anneal=0, beta=1.0), first_loss(anneal=0, beta=2.0)
    assert one > annealed
    assert two - annealed == pytest.approx(2 * (one - annealed), rel=1e-4)
    assert first_loss(anneal=0, beta=0) == annealed


def test_the_kl_weight_rises_over_the_stated_share_of_the_updates() -> None:
    # beta 0.8 after a quarter of 200 updates: half of it after 25, all of it from 50 on.
    weight = MultVAE(beta=0.8, anneal=0.25)._objective(200).weights["kl"]
    assert [weight(None, step) for step in (0, 25, 50, 199)] == pytest.approx([0, 0.4, 0.8, 0.8])


def test_settings_that_make_no_network_are_refused() -> None:
    with pytest.raises(ConfigError, match="hidden .*MultVAE .*width"):
        MultVAE(hidden=()).fit(DATA)
    with pytest.raises(ConfigError, match="metric .*hits"):
        MultVAE(metric="coverage@10").fit(DATA)
    with pytest.raises(ConfigError, match="metric 'ndgc'.* mean 'ndcg'"):
        MultDAE(metric="ndgc@10").fit(DATA)


@pytest.mark.parametrize(
    ("kind", "hidden", "mirror", "width"),
    [
        (MultDAE, (), None, 8),
        (MultDAE, (24, 12), None, 24),
        (MultVAE, (24, 12), True, 24),
        (MultVAE, (24, 12), False, 8),
    ],
)
def test_the_decoder_mirrors_the_encoder(kind, hidden, mirror, width) -> None:
    extra = {} if mirror is None else {"mirror": mirror}
    model = kind(**(SETTINGS | {"hidden": hidden}), epochs=1, **extra).fit(DATA)
    assert model.item_embeddings_.shape == (N_ITEMS, width)
    assert model.embed_users(DATA).shape == (200, 8)


@pytest.mark.parametrize(
    ("n_items", "latent", "hidden"), [(16, 5, (7,)), (9, 50, (50,)), (1034, 50, (30,))]
)
def test_no_width_makes_a_row_depend_on_its_batch(n_items, latent, hidden) -> None:
    dense = np.random.default_rng(5).random((150, n_items)) < max(0.02, 4 / n_items)
    matrix = sp.csr_matrix(dense * 1.0)
    model = MultVAE(latent=latent, hidden=hidden, epochs=1, lr=0.01).fit(matrix)
    order = np.random.default_rng(6).permutation(150)
    assert_same_scores(model.score(matrix[order]), model.score(matrix)[order])
    assert_same_scores(model.embed_users(matrix[order]), model.embed_users(matrix)[order])
