"""FlowCF: the way between popularity and a history, and its discrete steps cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Batch, Ragged
from tests.gpu.pretend import PretendGPU

X = sp.random(40, 12, 0.3, format="csr", random_state=5, dtype=np.float32)
X.data[:] = 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_cell_is_of_the_history_or_of_popularity(device: str) -> None:
    with PretendGPU():
        found = points(device)
    for t, matrix in found.items():
        shares = np.asarray((matrix > 0).mean(0)).ravel()
        f, own = np.array([0.0, 0.3, 0.9, 0.5]), np.array([1, 1, 0, 0])
        np.testing.assert_allclose(shares, own * t + (1 - t) * f, atol=0.015)
        assert set(np.unique(matrix[:, 1].data)) <= {2.0} and set(matrix[:, 2].data) <= {1.0}


def points(device: str) -> dict[float, sp.csr_matrix]:
    """Histories on their way, at some times."""
    net: Any = recae.FlowCF(dropout=0.0, latent=2, hidden=())._network(4, 1)
    path = net.code.path
    path.shares = np.array([0.0, 0.3, 0.9, 0.5], dtype=np.float32)
    rows = 20_000
    history = sp.csr_matrix(np.tile(np.float32([1, 2, 0, 0]), (rows, 1)))
    x, matrices = Ragged.from_csr(history).to(device), {}
    for t in (0.0, 0.4, 1.0):
        times = torch.full((rows,), t, device=device)
        found = path.between(x, times, torch.Generator(device).manual_seed(1))
        if isinstance(found, Ragged):
            parts = found.values.numpy(), found.indices.numpy(), found.offsets.numpy()
            matrices[t] = sp.csr_matrix(parts, (rows, 4))
            assert matrices[t].has_canonical_format
        else:
            matrices[t] = sp.csr_matrix(found.cpu().numpy())
    return matrices


def test_it_is_prepared_with_the_shares_of_users() -> None:
    model = recae.FlowCF(latent=3, hidden=(4,), epochs=1).fit(X)
    path: Any = model.network_.code.path
    np.testing.assert_allclose(path.shares, X.toarray().mean(0), rtol=1e-6)


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_steps_add_and_take_items_cell_by_cell(taken: int) -> None:
    model = recae.FlowCF(latent=3, hidden=(4,), steps=6, taken=taken)
    net: Any = model._network(12, 40)
    net.initialise(torch.Generator().manual_seed(3))
    net.decoder.head.weight.data *= 6  # scores reach above 1
    net.eval()
    ragged = Ragged.from_csr(X)
    with torch.no_grad():
        found = net(Batch(ragged, ragged))[0].dense().numpy()
    first, head, code = net.encoder, net.decoder.head, net.code
    changed = 0
    for row, history in enumerate(X.toarray()):
        now = history.copy()
        for step in range(6 - taken, 6):
            time = torch.tensor([step / 6])
            with torch.no_grad():
                a = torch.from_numpy(now) @ first.weight + first.bias
                h = code.layers((a + code.shift(2 * np.pi * time)).tanh())
                scores = (h @ head.weight.t() + head.bias).numpy()[0]
            for item in range(12):
                velocity = (scores[item] - now[item]) / (1 - step / 6)
                chance = now[item] + velocity / 6
                new = 1.0 if history[item] or chance > 0.5 else 0.0
                changed += step < 5 and new != now[item]
                now[item] = new
        np.testing.assert_allclose(found[row], scores, rtol=1e-4, atol=1e-5)
    assert taken == 1 or changed > 10


def test_more_steps_than_there_are() -> None:
    with pytest.raises(recae.ConfigError, match="taken"):
        recae.FlowCF(steps=3, taken=4).fit(X)
