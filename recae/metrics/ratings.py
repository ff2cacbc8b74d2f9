"""How far scores, taken as ratings, are from given ratings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from recae.ranking.batches import ScoreRows, rows_per_batch


def rating_error(score_rows: ScoreRows, histories: Any, targets: Any) -> float:
    """sqrt(mean over the entries of `targets` of (score - value)^2); CSR (rows, n_items) both."""
    total, step = 0.0, rows_per_batch("auto", histories.shape[1])
    for start in range(0, histories.shape[0], step):
        target = targets[start : start + step]
        scores = score_rows(histories[start : start + step]).cpu()
        rows = np.repeat(np.arange(target.shape[0]), np.diff(target.indptr))
        cells = torch.from_numpy(rows), torch.from_numpy(target.indices.astype(np.int64))
        off = scores[cells].double() - torch.from_numpy(target.data)
        total += float(off.square().sum())
    return math.sqrt(total / targets.nnz)
