"""Parts of scores that are no sums over the history, against slow versions written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import Interactions

RNG = np.random.default_rng(8)
X = np.where(RNG.random((50, 12)) < 0.4, RNG.integers(1, 5, (50, 12)), 0).astype(np.float32)
X[:, 0] = np.where(X.sum(1) == 0, 1, X[:, 0])
DATA = Interactions.from_csr(sp.csr_matrix(X))
PLAIN = DATA.binarised()
POINTS = (np.arange(4000) + 0.5) / 4000


def path_integral(score, x: np.ndarray, item: int) -> np.ndarray:
    """The integral of x_i df/dx_i along a x, 0 < a < 1, by midpoints and central differences."""
    found, step = np.zeros(len(x)), 1e-4
    for i in np.flatnonzero(x):
        moved = np.eye(len(x))[i] * step
        rows = POINTS[:, None] * x
        found[i] = x[i] * ((score(rows + moved) - score(rows - moved))[:, item] / (2 * step)).mean()
    return found


def contributions(model: recae.Recommender, row: int, item: int) -> np.ndarray:
    why = model.explain(DATA.select_users([row]), items=[item], top=99).contributions
    found = np.zeros(12)
    found[why["history_item_id"]] = why["contribution"]
    return found


def array(tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.mark.parametrize("row", [3, 7])
def test_an_autoencoder_of_ratings_written_out(row: int) -> None:
    model = recae.AutoRec(**recae.AutoRec.small | {"epochs": 30}).fit(DATA, seed=1, progress=False)
    net = model.network_
    first, head = net.encoder[0], net.decoder.head

    def score(x: np.ndarray) -> np.ndarray:
        z = 1 / (1 + np.exp(-(x @ array(first.weight) + array(first.bias))))
        return z @ array(head.weight).T + array(head.bias)

    expected = path_integral(score, X[row].astype(np.float64), 5)
    found = contributions(model, row, 5)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).sum())
    total = model.explain(DATA.select_users([row]), items=[5]).totals
    assert total["baseline"][0] == pytest.approx(score(np.zeros((1, 12)))[0, 5], abs=1e-5)


def test_a_history_of_length_one_written_out() -> None:
    model = recae.VanillaAE(latent=4, epochs=20, batch_size=10).fit(PLAIN, seed=1, progress=False)
    first, head = model.network_.encoder[0], model.network_.decoder.head

    def score(x: np.ndarray) -> np.ndarray:
        z = np.tanh(x @ array(first.weight) + array(first.bias))
        return z @ array(head.weight).T + array(head.bias)

    x = (X[3] > 0) / np.sqrt((X[3] > 0).sum())
    expected = path_integral(score, x, 5)
    found = contributions(model, 3, 5)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).sum())


@pytest.mark.parametrize("weights", ["neither", "both"])
def test_infinite_autoencoders_by_differences_of_their_kernel(weights: str) -> None:
    model = recae.InfiniteAE(l2=0.7, weights=weights)
    model.fit(DATA if weights == "both" else PLAIN, seed=1)
    known, d = model.histories_.toarray().astype(np.float64), 12

    def score(x: np.ndarray) -> np.ndarray:
        s = 2 / d * x @ known.T + 0.01
        own = np.sqrt(2 / d * (x**2).sum(1) + 0.01)[:, None]
        lengths = own * np.sqrt(2 / d * (known**2).sum(1) + 0.01)
        angle = np.arccos(np.clip(s / lengths, -1, 1))
        relu = lengths * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
        kernel = 2 * relu + 0.01 + 2 * s * (np.pi - angle) / (2 * np.pi)
        return kernel @ array(model.inverse_) @ known

    x = X[3].astype(np.float64) if weights == "both" else (X[3] > 0).astype(np.float64)
    np.testing.assert_allclose(score(x[None])[0], model.score(DATA)[3], atol=1e-3)
    expected = path_integral(score, x, 5)
    found = contributions(model, 3, 5)
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).sum())


def test_a_blend_is_the_scaled_sum_of_its_members_parts() -> None:
    ease, svd = recae.EASE(l2=3.0).fit(PLAIN), recae.PureSVD(latent=3).fit(PLAIN)
    model = recae.Ensemble.of([ease, svd])
    model.member_weights_ = np.array([0.5, 1.5])
    unseen = X[3] == 0
    expected = np.zeros(12)
    for weight, member in ((0.5, ease), (1.5, svd)):
        spread = member.score(DATA)[3][unseen].std()
        expected += weight / spread * contributions(member, 3, 5)
    np.testing.assert_allclose(contributions(model, 3, 5), expected, atol=1e-5)


def test_members_whose_items_come_in_another_order() -> None:
    order = RNG.permutation(12)
    other = Interactions.from_csr(PLAIN.matrix[:, order], items=order)
    ease, svd = recae.EASE(l2=3.0), recae.PureSVD(latent=3)
    same = recae.Ensemble.of([ease.fit(PLAIN), svd.fit(PLAIN)])
    mixed = recae.Ensemble.of([ease.clone().fit(PLAIN), svd.clone().fit(other)])
    found, expected = contributions(mixed, 3, 5), contributions(same, 3, 5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("transform", ["log1p", "bm25", "quantile", "binarise"])
def test_transformed_weights_are_what_the_parts_are_made_of(transform: str) -> None:
    model = recae.EASE(l2=3.0, weights="both", weight_transform=transform).fit(DATA)
    row = model._weighting.apply(DATA.matrix)[3].toarray()[0]
    expected = row * model.weights_[:, 5].numpy()
    np.testing.assert_allclose(contributions(model, 3, 5), expected, rtol=1e-5, atol=1e-6)


def test_means_of_item_factors() -> None:
    model = recae.BPR(latent=4, epochs=3).fit(PLAIN, seed=1)
    y, n = model.item_embeddings_.astype(np.float64), (X[3] > 0).sum()
    expected = (y @ y[5]) / n * (X[3] > 0)
    np.testing.assert_allclose(contributions(model, 3, 5), expected, rtol=1e-4, atol=1e-7)


def test_a_sampled_softmax_is_explained_as_when_loaded(tmp_path) -> None:
    model = recae.MultVAE(latent=4, hidden=(8,), softmax="sampled", num_sampled=4, epochs=2)
    model.fit(PLAIN, seed=1, progress=False)
    before = contributions(model, 3, 5)
    loaded = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(contributions(loaded, 3, 5), before)
    assert np.abs(before).sum() > 0
    assert all(parameter.grad is None for parameter in loaded.network_.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_gradients_of_the_caller_may_be_off(mode) -> None:
    model = recae.AutoRec(**recae.AutoRec.small).fit(PLAIN, seed=1, progress=False)
    expected = contributions(model, 3, 5)
    with mode():
        np.testing.assert_array_equal(contributions(model, 3, 5), expected)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled() and np.abs(expected).sum() > 0
