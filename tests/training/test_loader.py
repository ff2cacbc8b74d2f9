"""The loader deals every non-empty row once, whole, in an order of its own for each epoch."""

import numpy as np
import scipy.sparse as sp

from recae.training import SparseLoader

MATRIX = sp.random(50, 20, 0.2, format="csr", random_state=1, dtype=np.float32)
MATRIX = sp.diags_array((np.arange(50) != 7) * 1.0).tocsr() @ MATRIX  # row 7 is empty
MATRIX = MATRIX.astype(np.float32)
MATRIX.eliminate_zeros()


def test_an_epoch_deals_every_row_with_entries_once_and_whole() -> None:
    loader = SparseLoader(MATRIX, None, batch_size=8, seed=0)
    batches = list(loader.epoch(1))
    assert len(batches) == len(loader)
    dealt = np.concatenate([b.rows.numpy() for b in batches])
    assert sorted(dealt) == sorted(
        set(range(50)) - set(np.flatnonzero(np.diff(MATRIX.indptr) == 0))
    )
    for batch in batches:
        x = batch.input
        rebuilt = sp.csr_matrix((x.values, x.indices, x.offsets), shape=(len(x), x.n_columns))
        assert (rebuilt != MATRIX[batch.rows.numpy()]).nnz == 0
        assert batch.target is x


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = SparseLoader(MATRIX, None, batch_size=100, seed=seed)
        return next(iter(loader.epoch(epoch))).rows.tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_a_target_of_its_own_keeps_the_cells() -> None:
    double = MATRIX * 2
    batch = SparseLoader(MATRIX, double, batch_size=100, seed=0).batch(np.array([3, 1]))
    assert batch.target.values.tolist() == (2 * batch.input.values).tolist()
    assert batch.target.indices is batch.input.indices
