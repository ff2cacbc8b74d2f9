"""Sparse codes are as sparse as they say, and their units are what they claim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import recae

UNITS, ACTIVE, TRUE, FEATURES = 48, 5, 40, 20


@pytest.fixture(scope="module")
def planted() -> np.ndarray:
    """Each of 1200 rows the sum of 5 of 40 directions in 20 dimensions, a little blurred."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(TRUE, FEATURES))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    chosen = rng.random((1200, TRUE)).argsort(1)[:, :5]
    codes = np.zeros((1200, TRUE))
    np.put_along_axis(codes, chosen, rng.uniform(0.5, 1.5, chosen.shape), axis=1)
    return codes @ atoms + 0.05 * rng.normal(size=(1200, FEATURES)) + 3


def fit(X: np.ndarray, sparsity: str, **changes: Any) -> recae.SparseAutoencoder:
    settings = {"latent": UNITS, "active": ACTIVE, "epochs": 20}
    return recae.SparseAutoencoder(sparsity=sparsity, **(settings | changes)).fit(X)


@pytest.fixture(scope="module")
def models(planted: np.ndarray) -> dict[str, recae.SparseAutoencoder]:
    kinds = ("top-k", "signed-top-k", "batch-top-k", "jump-relu", "l1", "kl")
    return {kind: fit(planted, kind) for kind in kinds}


@pytest.mark.parametrize("kind", ["top-k", "signed-top-k"])
def test_top_k_is_exact(kind: str, models, planted: np.ndarray) -> None:
    codes = models[kind].transform(planted)
    assert ((codes != 0).sum(1) == ACTIVE).all()
    assert (codes < 0).any() == (kind == "signed-top-k")


@pytest.mark.parametrize("epochs", [4, 20])
@pytest.mark.parametrize("kind", ["batch-top-k", "jump-relu"])
def test_the_others_keep_to_the_number_on_average(
    kind: str, epochs: int, models, planted: np.ndarray
) -> None:
    model = models[kind] if epochs == 20 else fit(planted, kind, epochs=epochs)
    active = (model.transform(planted) != 0).sum(1)
    assert active.mean() == pytest.approx(ACTIVE, rel=0.15)
    assert active.std() > 0.5  # rows differ in how many they need


@pytest.mark.parametrize("loss", ["logistic", "multinomial", "squared"])
@pytest.mark.parametrize("kind", ["batch-top-k", "jump-relu"])
def test_and_under_every_loss_and_in_every_unit(kind: str, loss: str, counts: Any) -> None:
    rng = np.random.default_rng(1)
    tastes = rng.dirichlet(np.full(60, 0.1), size=8)
    mixed = rng.dirichlet(np.full(8, 0.2), size=600) @ tastes
    X = rng.poisson(mixed * 40).astype(float)
    X = (X > 0) * 1.0 if loss == "logistic" else X * (100 if loss == "squared" else 1)
    model = fit(X, kind, loss=loss, latent=32, batch_size=64, lr=3e-3)
    assert (model.transform(X) != 0).sum(1).mean() == pytest.approx(ACTIVE, rel=0.2)


def test_l1_has_exact_zeros_and_more_of_them_for_a_higher_price(models, planted) -> None:
    codes = models["l1"].transform(planted)
    assert (codes >= 0).all()
    dearer = fit(planted, "l1", beta=4.0).transform(planted)
    assert 0.2 < (codes == 0).mean() < (dearer == 0).mean()


def test_kl_holds_the_means_near_the_rate(models, planted: np.ndarray) -> None:
    means = models["kl"].transform(planted).mean(0)
    assert np.allclose(means, 0.05, atol=0.02)
    wider = fit(planted, "kl", rate=0.2).transform(planted).mean(0)
    assert np.allclose(wider, 0.2, atol=0.04)


@pytest.mark.parametrize("kind", ["top-k", "signed-top-k", "batch-top-k", "jump-relu", "l1", "kl"])
def test_an_example_is_the_sum_of_its_units(kind: str, models, planted: np.ndarray) -> None:
    model = models[kind]
    base = model.inverse_transform(np.zeros((1, UNITS)))
    codes = model.transform(planted[:50])
    whole = base + codes @ model.dictionary_
    assert np.allclose(model.inverse_transform(codes), whole, atol=1e-4)
    lengths = np.linalg.norm(model.dictionary_, axis=1)
    if kind != "kl":
        assert np.allclose(lengths, model.scaling_.scale, rtol=1e-5)
    assert model.explained_variance(planted) > (0.2 if kind == "kl" else 0.55)


def test_the_planted_directions_are_found() -> None:
    rng = np.random.default_rng(0)
    atoms = np.linalg.qr(rng.normal(size=(30, 30)))[0][:24]
    codes = rng.uniform(0.5, 1.5, (1200, 24)) * (rng.random((1200, 24)).argsort(1) < 3)
    X = codes @ atoms + 0.02 * rng.normal(size=(1200, 30))
    model = fit(X, "top-k", latent=32, active=3, epochs=40, lr=3e-3)
    found = model.dictionary_ / np.linalg.norm(model.dictionary_, axis=1, keepdims=True)
    assert np.median((atoms @ found.T).max(1)) > 0.95  # by chance 0.4
    assert model.explained_variance(X) > 0.9


def test_there_is_no_dictionary_behind_hidden_layers(planted: np.ndarray) -> None:
    model = fit(planted[:50], "top-k", hidden=(8,), epochs=1)
    with pytest.raises(recae.ConfigError, match="hidden="):
        _ = model.dictionary_


class Killing(recae.SparseAutoencoder):
    """Half of the units die before epoch 3."""

    def _before_epoch(self, examples: Any, seed: int) -> Any:
        inner = super()._before_epoch(examples, seed)

        def kill(net: Any, number: int) -> Any:
            touched = list(inner(net, number)) if inner else []
            if number == 3:
                with torch.no_grad():
                    net.encoder[-1].weight[:, : UNITS // 2] = 0
                    net.encoder[-1].bias[: UNITS // 2] = -100 * (self.sparsity != "signed-top-k")
            return touched

        return kill


@pytest.mark.parametrize("kind", ["top-k", "signed-top-k", "batch-top-k", "jump-relu"])
def test_dead_units_come_back_and_the_loss_falls(kind: str, planted: np.ndarray) -> None:
    alive, losses = {}, {}
    for revive in (True, False):
        settings = {"latent": UNITS, "active": ACTIVE, "sparsity": kind, "revive": revive}
        model = Killing(epochs=10, lr=2e-3, **settings).fit(planted)
        alive[revive] = int((model.transform(planted) != 0).any(0).sum())
        losses[revive] = model.epochs_[-1].loss
    assert alive[False] == UNITS // 2
    assert alive[True] > 0.8 * UNITS
    assert losses[True] < 0.9 * losses[False]
