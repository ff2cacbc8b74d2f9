"""Searching the settings of a model on validation data, within a budget."""

from recae.tune.best_epoch import at_best_epoch
from recae.tune.budget import check_budget
from recae.tune.result import Tuning
from recae.tune.run import tune
from recae.tune.sampling import SAMPLERS, check_optuna
from recae.tune.space import read_space

__all__ = [
    "SAMPLERS",
    "Tuning",
    "at_best_epoch",
    "check_budget",
    "check_optuna",
    "read_space",
    "tune",
]
