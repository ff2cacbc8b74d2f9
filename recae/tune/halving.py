"""Successive halving on epochs: who is far behind after few of them gets no more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.tune.trial import COMPLETE, FAILED, Trial

FACTOR = 3


def is_rung(epoch: int) -> bool:
    """Whether trials are compared after this epoch: 3, 9, 27, 81 and so on."""
    while epoch % FACTOR == 0:
        epoch //= FACTOR
        if epoch == 1:
            return True
    return False


def hopeless(epoch: int, value: float, past: Sequence[Trial]) -> str:
    """Why a trial should end after this epoch; nothing if it is among the best third.

    value: the best that it has reached. The rule is that of Li et al., "A System for Massively
    Parallel Hyperparameter Tuning" (ASHA), MLSys 2020, one trial after another: of all trials that
    came to a rung, itself included, the best third goes on. (A trial that finished earlier counts
    with its final value.) So the first is never ended, and neither is the best.
    """
    others = [found for trial in past if (found := _reached(trial, epoch)) is not None]
    ranked = sorted([*others, value], reverse=True)
    needed = ranked[math.ceil(len(ranked) / FACTOR) - 1]
    if value >= needed:
        return ""
    return f"at epoch {epoch} its {value:.4f} was below {needed:.4f}, the least of the best third"


def _reached(trial: Trial, epoch: int) -> float | None:
    if trial.state == FAILED:
        return None
    if trial.state == COMPLETE and trial.epochs is not None and trial.epochs <= epoch:
        return trial.value
    return trial.rungs.get(epoch)
