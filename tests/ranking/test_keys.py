"""Keys: their order is that of lists, on the CPU and on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn.products import FactoredScores
from recae.ranking import keys
from recae.ranking.batches import top_k_of_blocks
from recae.ranking.keys import NOTHING, cells_at_once, keys_of, keys_on_gpu, values_of
from recae.ranking.top_k import top_k
from tests.gpu.pretend import PretendGPU

SCORES = np.array([[1, -2, 0, -0.0, 1e-45, -1e38, 3e38, 1, -1e-45, -2]], np.float32)


def test_ascending_keys_are_descending_scores_and_ascending_columns() -> None:
    found = keys_of(SCORES[0], np.arange(10))
    assert found.argsort().tolist() == [6, 0, 7, 4, 2, 3, 8, 1, 9, 5]
    np.testing.assert_array_equal(values_of(found), SCORES[0])
    assert values_of(np.array([NOTHING]))[0] == -np.inf and found.max() < NOTHING


def test_keys_on_a_gpu_are_those_on_the_cpu() -> None:
    scores = np.append(SCORES, [[-np.inf]], axis=1).astype(np.float32)
    with PretendGPU():
        found = keys_on_gpu(torch.from_numpy(scores).to("cuda"), 7).cpu().numpy()
    np.testing.assert_array_equal(found[0, :10], keys_of(SCORES[0], np.arange(7, 17)))
    assert found[0, 10] == NOTHING


def test_a_gpu_ranks_as_many_cells_as_its_memory_holds() -> None:
    assert cells_at_once(torch.device("cpu"), 123) == 123
    with PretendGPU():
        assert cells_at_once(torch.device("cuda"), 123) == 1 << 26
    with PretendGPU(memory=keys.GPU_BYTES * 1000):
        assert cells_at_once(torch.device("cuda"), 123) == 1000
        taken = torch.zeros(keys.GPU_BYTES * 100, device="cuda")  # 400 cells' bytes
        assert cells_at_once(torch.device("cuda"), 123) == 600
        assert cells_at_once(torch.device("cuda"), 700) == 700
        del taken


@pytest.mark.parametrize("k", [1, 5, 40])
def test_rows_in_parts_of_any_size_give_the_lists_of_the_cpu(k, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(0, 9, (50, 30)).astype(np.float32))
    taken = (torch.from_numpy(rng.integers(0, n, 200)) for n in (50, 30))
    exclude = tuple(taken)
    here = top_k(scores, k, exclude=exclude)
    for cells in (1, 70, 1 << 20):
        monkeypatch.setattr("recae.ranking.top_k.cells_at_once", lambda *_, cells=cells: cells)
        with PretendGPU() as gpu:
            there = top_k(scores.to("cuda"), k, exclude=tuple(part.to("cuda") for part in exclude))
            assert gpu.count("launch")
        np.testing.assert_array_equal(there.items, here.items)
        np.testing.assert_array_equal(there.scores, here.scores)


@pytest.mark.parametrize("cells", [1, 7, 60, 1 << 20])
def test_blocks_of_columns_on_a_gpu_give_the_lists_of_the_cpu(cells, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    rows, columns = (torch.from_numpy(rng.integers(-2, 3, (n, 3))).float() for n in (20, 23))
    taken, allowed = sp.random(20, 23, 0.2, "csr", random_state=0), rng.random(23) < 0.8
    instead = np.array([3, 19]), rng.random(23)
    options = {"exclude": taken, "allowed": allowed, "instead": instead}
    here = top_k_of_blocks(FactoredScores(rows, columns), 6, **options)
    monkeypatch.setattr("recae.ranking.batches.cells_at_once", lambda *_: cells)
    with PretendGPU() as gpu:
        there = top_k_of_blocks(FactoredScores(rows.to("cuda"), columns.to("cuda")), 6, **options)
        assert gpu.count("launch")
    np.testing.assert_array_equal(there.items, here.items)
    np.testing.assert_allclose(there.scores, here.scores)
