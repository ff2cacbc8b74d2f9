"""Keys: their order is that of lists, on the CPU and on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recae.ranking import keys
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
        assert cells_at_once(torch.device("cuda"), 123) > 1 << 20
    with PretendGPU(memory=keys.GPU_BYTES * 1000):
        assert cells_at_once(torch.device("cuda"), 123) == 1000
        taken = torch.zeros(keys.GPU_BYTES * 100, device="cuda")  # 400 cells' bytes
        assert cells_at_once(torch.device("cuda"), 123) == 600
        del taken


@pytest.mark.parametrize("k", [1, 5, 40])
def test_blocks_of_any_size_give_the_lists_of_the_cpu(k, monkeypatch) -> None:
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
