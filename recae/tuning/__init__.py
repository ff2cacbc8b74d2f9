"""Searches the settings of one model or of several on validation data, within a budget."""

from recae.tuning.attempt import at_best_epoch as at_best_epoch
from recae.tuning.attempt import check_budget as check_budget
from recae.tuning.auto import AutoEnsemble as AutoEnsemble
from recae.tuning.best import Best as Best
from recae.tuning.best import find_best as find_best
from recae.tuning.result import Tuning as Tuning
from recae.tuning.run import tune as tune
from recae.tuning.space import read_space as read_space
from recae.tuning.study import SAMPLERS as SAMPLERS
from recae.tuning.study import check_optuna as check_optuna
