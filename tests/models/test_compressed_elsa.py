"""CompressedELSA: its pruning written out, its size, and that it is ELSA without pruning."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import PrunedRows

X = sp.random(40, 15, 0.3, format="csr", random_state=2).astype(np.float32)
X.data[:] = 1


def rows(rewind: bool) -> tuple[PrunedRows, torch.Tensor]:
    made = PrunedRows(3, 4, 2)
    first = torch.tensor([[1.0, 2, 3, 4], [4, -3, 2, 1], [1, 1, 5, -9]])
    made.first = first if rewind else None
    made.weight.data = torch.tensor([[-9.0, 1, 0.5, 2], [0.1, -4, 3, 1], [1, -2, 5, 4]])
    return made, first


@pytest.mark.parametrize("rewind", [True, False])
def test_pruning_keeps_the_largest_of_each_row(rewind: bool) -> None:
    made, first = rows(rewind)
    before = made.weight.detach().clone()
    made.prune(3, rewind=rewind)
    kept = torch.tensor([[1.0, 1, 0, 1], [0, 1, 1, 1], [0, 1, 1, 1]])
    assert torch.equal(made.weight.detach(), (first if rewind else before) * kept)
    a = made.train().rows()
    torch.testing.assert_close(a.norm(dim=1), torch.ones(3))
    (slope,) = torch.autograd.grad(a.pow(3).sum(), made.weight)
    assert torch.equal(slope != 0, kept > 0)  # what was pruned does not return


def test_evaluation_has_the_wanted_number_of_entries() -> None:
    made, _ = rows(False)
    with torch.no_grad():
        a = made.eval().rows()
    expected = torch.tensor([[-9.0, 0, 0, 2], [0, -4, 3, 0], [0, 0, 5, 4]])
    expected /= torch.tensor([85.0, 25, 41]).sqrt()[:, None]
    torch.testing.assert_close(a, expected)


def test_the_number_of_entries_falls_by_one_factor() -> None:
    model = recae.CompressedELSA(latent=256, nonzeros=16, epochs=10, pruning=0.4)
    assert [model.kept(epoch) for epoch in range(1, 11)] == [256, 128, 64, 32] + [16] * 6
    assert recae.CompressedELSA(latent=64, nonzeros=8, pruning=0).kept(1) == 8


def test_without_pruning_it_is_elsa() -> None:
    settings = dict(latent=6, epochs=3, batch_size=10)
    model = recae.CompressedELSA(nonzeros=6, **settings).fit(X, seed=1, progress=False)
    elsa = recae.ELSA(**settings).fit(X, seed=1, progress=False)
    np.testing.assert_allclose(model.score(X), elsa.score(X), rtol=1e-4, atol=1e-5)


def test_it_takes_six_bytes_an_entry_in_memory_and_on_disk(tmp_path) -> None:
    model = recae.CompressedELSA(latent=12, nonzeros=3, epochs=4).fit(X, seed=1, progress=False)
    arrays = model._arrays()
    assert sum(t.numel() * t.element_size() for t in arrays.values()) == 15 * 3 * 6
    assert ((model.item_embeddings_ != 0).sum(axis=1) <= 3).all()
    loaded = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.score(X), model.score(X))


def test_the_best_epoch_is_judged_with_the_entries_that_stay() -> None:
    fold = recae.Fold(X, X)
    model = recae.CompressedELSA(latent=12, nonzeros=2, epochs=6, patience=6, metric="ndcg@5")
    model.fit(X, fold, seed=1, progress=False)
    a = model.item_embeddings_
    assert ((a != 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)


def test_a_vector_has_no_more_entries_than_its_width() -> None:
    model = recae.CompressedELSA(latent=4, nonzeros=9, epochs=2).fit(X, seed=1, progress=False)
    assert model.values_.shape == (X.shape[1], 4)
