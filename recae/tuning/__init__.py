"""Searching the settings of a model on validation data, within a budget."""

from recae.tuning.attempt import at_best_epoch
from recae.tuning.budget import check_budget
from recae.tuning.result import Tuning
from recae.tuning.run import tune
from recae.tuning.sampling import SAMPLERS, check_optuna
from recae.tuning.space import read_space

__all__ = [
    "SAMPLERS",
    "Tuning",
    "at_best_epoch",
    "check_budget",
    "check_optuna",
    "read_space",
    "tune",
]
