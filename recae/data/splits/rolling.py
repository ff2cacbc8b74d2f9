"""Rolling splits in time: several tests, one after the other, on a growing training part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.by_time import COLD, check_latest, cut_at, with_latest
from recae.data.splits.folds import Split
from recae.data.splits.moments import Duration, duration_of, times_of
from recae.data.splits.weak import PARTS
from recae.errors import DataError, check_flag, check_integer, check_number, check_option, explained
from recae.rng import check_seed


@explained
@dataclass(frozen=True)
class RollingTime:
    """Several splits by time: the test moves forwards, and the training part grows with it.

    With `folds=3`; each column is a window of time, o are interactions:

        split 1   train o o o o | test o |        |
        split 2   train o o o o |      o | test o |
        split 3   train o o o o |      o |      o | test o

    The last window ends with the last interaction. Each split is one of `GlobalTime` over the
    interactions before the end of its test, with its own users, items and `left_out`. (RecTools has
    `TimeRangeSplitter`, whose windows end at full days; LensKit `split_global_time`; scikit-learn
    `TimeSeriesSplit`.)

    >>> plays = pd.DataFrame({"user_id": [1, 2] * 4, "item_id": [1, 1, 2, 2, 1, 2, 2, 1]})
    >>> plays["timestamp"] = range(8)
    >>> plays = plays.drop_duplicates(["user_id", "item_id"], keep="last")
    >>> splits = recae.data.splits.RollingTime(folds=2, window=1).split(plays)
    >>> [split.test.target.nnz for split in splits]
    [1, 1]
    """

    folds: int = 3
    """Tests, and splits, >= 1."""
    window: float | Duration = 0.05
    """The length of each test: a share of the interactions in (0, 1), an integer in the unit of the
    times, or a length of time such as "7D" or a timedelta."""
    validation: bool = False
    """Whether the window before each test validates."""
    history: str = "train+validation"
    """What the test fold's history and mask are: "train+validation" or "train"."""
    latest: int | None = None
    """The number of latest interactions in the histories, see `GlobalTime`."""
    cold: str = "drop"
    """Whether cold users and items are left out or kept, see `GlobalTime`."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> list[Split]:
        """The splits, the earliest test first; the seed, an integer >= 0, is that of `GlobalTime`.

        Raises ConfigError for settings out of range, DataError as `GlobalTime` does: also if the
        windows leave nothing for training, or if one of them is empty.

        >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [3, 1]})
        >>> splits = recae.data.splits.RollingTime(folds=1, window=1, cold="keep").split(plays)
        >>> splits[0].test.target.to_frame()["item_id"].item()
        7
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        check_integer("folds", self.folds)
        check_flag("validation", self.validation)
        check_option("history", self.history, PARTS)
        check_option("cold", self.cold, COLD)
        check_latest(self.latest)
        times = times_of(interactions)
        starts = self._starts(times)
        if starts[0 if self.validation else 1] <= times.min():
            raise DataError(
                f"folds={self.folds} windows of {self.window} leave nothing for training: the "
                f"times are {times.min()} to {times.max()}; change one of the two"
            )
        splits = []
        for first, test, end in zip(starts, starts[1:], starts[2:], strict=False):
            split = cut_at(
                interactions.keep(times < end),
                first if self.validation else test,
                test,
                bool(self.validation),
                self.history,
                self.cold,
            )
            splits.append(with_latest(split, self.latest, seed))
        return splits

    def _starts(self, times: np.ndarray) -> list[int]:
        """The starts of the windows, the one before the first test included, and the end."""
        ordered, number = np.sort(times), int(self.folds)
        end = int(ordered[-1]) + 1
        if isinstance(self.window, float | np.floating):
            check_number("window", self.window, above=0, below=1)
            count = int(np.floor(np.round(float(self.window) * len(ordered), 9)))
            if count < 1 or (number + 1) * count > len(ordered):
                raise DataError(
                    f"window={self.window:g} takes {count:,} of {len(ordered):,} interactions for "
                    f"each of folds={number}: change one of the two"
                )
            at = len(ordered) - count * np.arange(number + 1, 0, -1)
            return [*ordered[at].tolist(), end]
        length = duration_of("window", self.window, times)
        return [end - length * left for left in range(number + 1, -1, -1)]
