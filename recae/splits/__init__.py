"""Splitters: strong and weak generalisation, splits by time, and published tables."""

from recae.folds import Fold, Split
from recae.splits.fixed import fixed_folds, fixed_split
from recae.splits.kfold import UserKFold
from recae.splits.leaks import check_split
from recae.splits.pairs import holdout_pairs
from recae.splits.random import RandomSplit
from recae.splits.strong import StrongGeneralization
from recae.splits.time import GlobalTime, LeaveLastOut

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
