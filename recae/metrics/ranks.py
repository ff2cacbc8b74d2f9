"""Metrics of the ranks of the targets among all items, not only the first k.

For one user, let m be the items that may be listed (those of the model outside the mask), P the
number of targets, and r(i) the rank of target i among the m by score, the mean rank where scores
tie. A target that may not be listed, or that the model lacks, ranks behind all items.

    auc               the share of the pairs of a target and another item in which the target has
                      the higher score; ties count one half. The area under the ROC curve of the
                      user (Rendle et al. 2009, UAI, "BPR", section 3.1.1). 0.5 for random scores.
    percentile_rank   the mean over the targets of (r(i) - 1) / (m - 1): 0 if all are on top, 1 if
                      all come last, 0.5 for random scores. The expected percentile ranking of Hu,
                      Koren & Volinsky 2008 (ICDM, equation 8), as a share; theirs is the mean over
                      all targets of all users, weighted by r_ui, and this one the mean over users.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recae.metrics.beyond_accuracy import FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TargetRanks:
    """What the metrics need to know of the ranks of each row's targets; (rows,) each.

    candidates: the items that may be listed. targets: all of the row. ranked: those among the
    candidates. total: the sum of their ranks.
    """

    candidates: IntArray
    targets: IntArray
    ranked: IntArray
    total: FloatArray

    @classmethod
    def concatenate(cls, parts: Sequence[TargetRanks]) -> TargetRanks:
        """One after the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def target_ranks(scores: Tensor, targets: Any, lacking: IntArray | None = None) -> TargetRanks:
    """The ranks of targets by scores.

    scores: (rows, n_items) float32, -inf for an item that may not be listed; targets: csr (rows,
    n_items), non-zero = target; lacking: (rows,) further targets that have no column. Memory is
    twice the scores, and three numbers for each row times the most targets of a row.
    """
    n_items = scores.shape[1]
    number = np.diff(targets.indptr).astype(np.int64)
    rows = np.repeat(np.arange(len(number)), number)
    place = np.arange(len(rows)) - targets.indptr[rows].astype(np.int64)
    most = int(number.max(initial=0))
    ordered = _sorted(scores)
    hidden = torch.searchsorted(
        ordered, torch.full((len(number), 1), -torch.inf, device=scores.device), right=True
    )
    at = torch.from_numpy(rows).to(scores.device)
    columns = torch.from_numpy(targets.indices.astype(np.int64)).to(scores.device)
    asked = torch.full((len(number), most), -torch.inf, device=scores.device)
    asked[at, torch.from_numpy(place).to(scores.device)] = scores[at, columns]
    below = torch.searchsorted(ordered, asked)  # scores that are less
    up_to = torch.searchsorted(ordered, asked, right=True)  # or equal
    rank = (n_items - up_to) + (up_to - below + 1).double() / 2
    counts = asked > -torch.inf
    ranked = counts.sum(dim=1).cpu().numpy().astype(np.int64)
    total = torch.where(counts, rank, 0.0).sum(dim=1).cpu().numpy()
    candidates = n_items - hidden[:, 0].cpu().numpy().astype(np.int64)
    return TargetRanks(candidates, number + (0 if lacking is None else lacking), ranked, total)


def _sorted(scores: Tensor) -> Tensor:
    """The scores of each row, ascending; numpy sorts ten times as fast as torch on a CPU."""
    if scores.device.type != "cpu":
        return torch.sort(scores, dim=1).values
    return torch.from_numpy(np.sort(scores.numpy(), axis=1))


def _auc(ranks: TargetRanks) -> FloatArray:
    """The rank sum of Mann & Whitney 1947 over the pairs; a target without a rank wins none."""
    m, ranked = ranks.candidates.astype(np.float64), ranks.ranked.astype(np.float64)
    wins = ranked * (m + 1) - ranks.total - ranked * (ranked + 1) / 2
    return _ratio(wins, ranks.targets * (m - ranked))


def _percentile_rank(ranks: TargetRanks) -> FloatArray:
    m, ranked = ranks.candidates.astype(np.float64), ranks.ranked.astype(np.float64)
    above = _ratio(ranks.total - ranked, m - 1)
    one = m == 1  # the only item is on top
    behind = ranks.targets - ranked
    return _ratio(np.where(one | (ranked == 0), 0.0, above) + behind, ranks.targets.astype(float))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """part / whole, NaN where there is nothing."""
    found: FloatArray = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


OF_RANKS: dict[str, Callable[[TargetRanks], FloatArray]] = {
    "auc": _auc,
    "percentile_rank": _percentile_rank,
}
"""The metrics of all items; they have no k."""
