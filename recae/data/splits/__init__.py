"""Splitters: strong and weak generalisation, splits by time, and published tables."""

from recae.data.splits.by_time import GlobalTime, LeaveLastOut
from recae.data.splits.fixed import fixed_folds, fixed_split
from recae.data.splits.folds import Fold, Split
from recae.data.splits.leaks import check_split
from recae.data.splits.strong import StrongGeneralization, UserKFold
from recae.data.splits.weak import RandomSplit, holdout_pairs

__all__ = [
    "Fold",
    "GlobalTime",
    "LeaveLastOut",
    "RandomSplit",
    "Split",
    "StrongGeneralization",
    "UserKFold",
    "check_split",
    "fixed_folds",
    "fixed_split",
    "holdout_pairs",
]
