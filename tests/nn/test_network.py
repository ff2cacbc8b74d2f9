"""The four slots together: reproducible, and free of stray CPU tensors."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.models import MODELS
from recae.models.neural._base import NeuralRecommender
from recae.nn import Batch, InputLinear, Ragged
from recae.ranking.batches import dense as all_scores

NEURAL = [cls for cls in MODELS.values() if issubclass(cls, NeuralRecommender)]


def batch() -> Batch:
    matrix = sp.random(6, 40, 0.3, format="csr", random_state=0, dtype=np.float32)
    ragged = Ragged.from_csr(matrix)
    return Batch(ragged, ragged, torch.arange(6))


def test_the_first_layer_reads_ragged_and_dense_rows_alike() -> None:
    layer = InputLinear(40, 5)
    layer.initialise(torch.Generator().manual_seed(0))
    ragged = batch().input
    dense = torch.zeros(6, 40)
    dense[ragged.rows, ragged.indices] = ragged.values
    torch.testing.assert_close(layer(ragged), layer(dense))


@pytest.mark.parametrize("model", NEURAL)
def test_the_network_runs_on_the_meta_device(model: type[NeuralRecommender]) -> None:
    net = model(latent=4)._network(40, 6).to("meta").eval()
    scores, _ = net(batch().to("meta"))
    assert scores.dense().shape == (6, 40) and scores.dense().device.type == "meta"


@pytest.mark.parametrize("model", NEURAL)
def test_the_scores_to_rank_are_the_dense_ones(model: type[NeuralRecommender]) -> None:
    net = model(latent=4)._network(40, 6)
    net.initialise(torch.Generator().manual_seed(0))
    scores, _ = net.eval()(batch())
    torch.testing.assert_close(all_scores(scores.to_rank()), scores.dense())
