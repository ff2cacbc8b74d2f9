"""Searches the settings of a model on validation data, within a budget."""

from recae.tuning.attempt import at_best_epoch, check_budget
from recae.tuning.result import Tuning
from recae.tuning.run import tune
from recae.tuning.space import draw, read_space
from recae.tuning.study import SAMPLERS, check_optuna

__all__ = [
    "SAMPLERS",
    "Tuning",
    "at_best_epoch",
    "check_budget",
    "check_optuna",
    "draw",
    "read_space",
    "tune",
]
