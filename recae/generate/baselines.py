"""What synthetic users are held against: items drawn by popularity, and real users once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.generate.draws import drawn, races
from recae.rng import numpy_generator, torch_generator

BLOCK = 256


def by_popularity(real: Any, n_users: int, seed: int) -> Any:
    """Users whose items are drawn by their popularity alone, with lengths of real users: (n_users,
    n_items) CSR. The marginals are right, and no item has to do with another."""
    counts = np.bincount(real.indices, minlength=real.shape[1])
    with np.errstate(divide="ignore"):
        logs = torch.from_numpy(np.log(counts.astype(np.float32)))
    lengths = numpy_generator(seed, 0).choice(np.diff(real.indptr), n_users)
    lengths = np.minimum(lengths, int((counts > 0).sum()))
    parts = []
    for number, start in enumerate(range(0, n_users, BLOCK)):
        some = torch.from_numpy(lengths[start : start + BLOCK].astype(np.int64))
        noise = races((len(some), len(logs)), torch_generator(seed, 1, number))
        columns, ends = drawn(logs.expand(len(some), -1), noise, some)
        ones = np.ones(len(columns), dtype=np.float32)
        parts.append(sp.csr_matrix((ones, columns.numpy(), ends.numpy()), (len(some), len(logs))))
    return sp.vstack(parts, format="csr")


def resampled(real: Any, n_users: int, seed: int) -> Any:
    """Real users drawn with replacement: perfect structure and no privacy at all."""
    return real[numpy_generator(seed, 2).integers(real.shape[0], size=n_users)]
