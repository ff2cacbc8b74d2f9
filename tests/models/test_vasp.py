"""FLVAE, VASP and NeuralEASE on whole histories with dropout, in place of halves."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import NoCorruption

HISTORIES = sp.csr_matrix((np.random.default_rng(0).random((30, 12)) < 0.4).astype(np.float32))
DEEP = dict(latent=3, width=6, depth=2, decoder_depth=2)
MODELS = {"flvae": (recae.FLVAE, DEEP), "vasp": (recae.VASP, DEEP), "ease": (recae.NeuralEASE, {})}


def dense(batch):
    read = batch.input
    rows = sp.csr_matrix((read.values, read.indices, read.offsets), (len(read), read.n_columns))
    return rows.toarray()


@pytest.mark.parametrize("name", MODELS)
def test_with_dropout_every_row_is_a_whole_history_and_its_own_target(name):
    model, settings = MODELS[name]
    loader = model(**settings, batch_size=8, dropout=0.5)._loader(HISTORIES, None, 0)
    found = np.zeros(HISTORIES.shape)
    for batch in loader.epoch(1):
        assert batch.input is batch.target
        found[batch.rows.numpy()] += dense(batch)
    assert np.array_equal(found, HISTORIES.toarray())


@pytest.mark.parametrize("name", MODELS)
def test_only_with_dropout_histories_have_length_1(name):
    model, settings = MODELS[name]
    batch = next(iter(model(**settings)._loader(HISTORIES, None, 0).epoch(1)))
    for dropout in (0.0, 0.5):
        net = model(**settings, dropout=dropout)._network(12, 0).eval()
        lengths = np.linalg.norm(dense(net.corrupt(batch, None)), axis=1)
        assert np.allclose(lengths[lengths > 0], 1) == (dropout > 0)


def test_dropout_hides_its_share_of_a_history():
    net = recae.FLVAE(**DEEP, dropout=0.75)._network(1000, 0)
    whole = sp.csr_matrix(np.ones((20, 1000), np.float32))
    batch = next(iter(recae.FLVAE(**DEEP, dropout=0.75)._loader(whole, None, 0).epoch(1)))
    kept = dense(net.corrupt(batch, torch.Generator().manual_seed(0)))
    assert abs((kept == 0).mean() - 0.75) < 0.01
    assert isinstance(recae.FLVAE(**DEEP)._network(10, 0).corrupt, NoCorruption)
