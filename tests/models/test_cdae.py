"""CDAE: nodes of users while training, their mean for everybody after."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Batch, Ragged

X = sp.random(30, 12, 0.3, format="csr", random_state=5, dtype=np.float32)
X.data[:] = 1


def test_the_network_is_the_formula() -> None:
    net = recae.CDAE(latent=3, dropout=0.0)._network(12, 30)
    net.initialise(torch.Generator().manual_seed(0))
    rows = np.array([7, 2, 29])
    ragged = Ragged.from_csr(X[rows])
    batch = Batch(ragged, ragged, torch.from_numpy(rows))
    x, nodes = torch.from_numpy(X[rows].toarray()), net.code.prior.nodes
    w, v = net.encoder, net.decoder.head
    for training, node in ((True, nodes[rows]), (False, nodes.mean(0))):
        net.train(training)
        z = torch.sigmoid(x @ w.weight + w.bias + node)
        scores, terms = net(batch, torch.Generator())
        torch.testing.assert_close(scores.dense(), z @ v.weight.T + v.bias)
        assert terms == {}


@pytest.mark.parametrize("negatives", [0, 4])
@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_it_learns_what_goes_together(negatives: int, loss: str, tmp_path) -> None:
    generator = np.random.default_rng(0)
    rows = np.zeros((200, 20), dtype=np.float32)
    for row in range(200):
        rows[row, generator.choice(10, 5, replace=False) + 10 * (row % 2)] = 1
    data = sp.csr_matrix(rows)
    model = recae.CDAE(latent=8, epochs=60, batch_size=20, lr=0.02, loss=loss, negatives=negatives)
    top = model.fit(data).recommend_array(data, k=5).items
    assert (top // 10 == (np.arange(200) % 2)[:, None]).mean() > 0.98
    assert not [name for name in model._arrays() if "prior" in name]
    read = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(read.score(data), model.score(data))


def test_the_settings_of_the_paper_train() -> None:
    model = recae.CDAE(latent=6, optimiser="adagrad", lr=0.1, negatives=5, epochs=20, batch_size=5)
    epochs = model.fit(X).epochs_
    assert epochs[-1].loss < 0.9 * epochs[0].loss
