"""Splitters: strong and weak generalisation, splits by time, and published tables."""

from recae.data.splits.by_time import GlobalTime as GlobalTime
from recae.data.splits.by_time import LeaveLastOut as LeaveLastOut
from recae.data.splits.fixed import fixed_folds as fixed_folds
from recae.data.splits.fixed import fixed_split as fixed_split
from recae.data.splits.folds import Fold as Fold
from recae.data.splits.folds import Split as Split
from recae.data.splits.leaks import check_split as check_split
from recae.data.splits.repeats import WeakKFold as WeakKFold
from recae.data.splits.repeats import repeated as repeated
from recae.data.splits.rolling import RollingTime as RollingTime
from recae.data.splits.strong import StrongGeneralization as StrongGeneralization
from recae.data.splits.strong import UserKFold as UserKFold
from recae.data.splits.weak import RandomSplit as RandomSplit
from recae.data.splits.weak import holdout_pairs as holdout_pairs
