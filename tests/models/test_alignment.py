"""Personalised item alignment: what the hyperparameter adds, and that only training knows of it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Anchors
from recae.training import Epoch

MODELS = [recae.MultVAE, recae.RecVAE, recae.HVamp]


def groups() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    dense = np.zeros((60, 20), np.float32)
    for user in range(60):
        dense[user, rng.choice(10, 4, replace=False) + 10 * (user % 2)] = 1
    return sp.csr_matrix(dense)


@pytest.mark.parametrize("kind", MODELS)
def test_the_loss_gains_the_weighted_distance(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a learning rate that moves nothing, the losses differ by the term alone."""
    terms = []
    forward = Anchors.forward

    def spy(self, z, batch):
        terms.append(forward(self, z, batch))
        return terms[-1]

    monkeypatch.setattr(Anchors, "forward", spy)
    losses = []
    for weight in (0.0, 0.7):
        settings = kind.small | {"epochs": 1, "batch_size": 60, "lr": 1e-12, "alignment": weight}
        losses.append(kind(**settings).fit(groups(), seed=1, progress=False).epochs_[0].loss)
    added = 0.7 * float(terms[-1].detach().mean())
    assert added > 0
    assert losses[1] - losses[0] == pytest.approx(added, rel=1e-3)


@pytest.mark.parametrize("kind", MODELS)
def test_anchors_are_neither_kept_nor_saved(kind: type, tmp_path) -> None:
    model = kind(**(kind.small | {"alignment": 0.5})).fit(groups(), seed=1, progress=False)
    plain = kind(**kind.small).fit(groups(), seed=1, progress=False)
    assert model.network_.anchors is None
    assert model._arrays().keys() == plain._arrays().keys()
    loaded = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.score(groups()), model.score(groups()))
    assert not np.allclose(plain.score(groups()), model.score(groups()))


def test_users_of_one_taste_come_nearer_to_each_other() -> None:
    def spread(weight: float) -> float:
        model = recae.MultVAE(
            latent=4, hidden=(8,), epochs=60, batch_size=20, lr=0.01, beta=0.0, alignment=weight
        ).fit(groups(), seed=1, progress=False)
        codes = model.embed_users(groups(), as_frame=False)
        inside = np.mean([codes[k::2].var(axis=0).sum() for k in (0, 1)])
        return inside / codes.var(axis=0).sum()

    assert spread(1.0) < spread(0.0)


def test_a_sampled_softmax_moves_only_the_anchors_of_a_batch() -> None:
    seen = {}

    def look(epoch: Epoch) -> None:
        seen[epoch.number] = True

    model = recae.MultVAE(
        latent=4,
        hidden=(8,),
        epochs=2,
        batch_size=20,
        softmax="sampled",
        num_sampled=5,
        alignment=0.5,
    ).fit(groups(), seed=1, progress=False, callbacks=look)
    assert seen == {1: True, 2: True} and np.isfinite(model.score(groups())).all()


def test_an_interrupted_training_resumes_with_its_anchors(tmp_path) -> None:
    settings = recae.MultVAE.small | {"epochs": 4, "alignment": 0.5}
    whole = recae.MultVAE(**settings).fit(groups(), seed=1, progress=False)
    part = recae.MultVAE(**settings)
    file = tmp_path / "state"

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        part.fit(groups(), seed=1, progress=False, checkpoint=file, callbacks=stop)
    part.fit(groups(), seed=1, progress=False, checkpoint=file)
    for name, tensor in whole._arrays().items():
        assert torch.equal(tensor, part._arrays()[name]), name
