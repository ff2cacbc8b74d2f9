"""Whether the end of a training is recognised: falls, plateaus and noise."""

from __future__ import annotations

import numpy as np
import pytest

from recae.errors import RecaeWarning
from recae.training.convergence import late_fall, warn_if_not_converged


def test_a_straight_fall_brings_a_tenth_of_itself_in_its_last_tenth() -> None:
    losses = [100.0 - number for number in range(100)]
    # The means of the last two tenths are 10 apart; the last one is 94.5 below the first loss.
    assert late_fall(losses) == pytest.approx(10 / 94.5)


@pytest.mark.parametrize("half_life", [5, 10, 60])
def test_an_exponential_fall_is_judged_by_what_is_left(half_life: float) -> None:
    losses = [3 + 2 ** (-number / half_life) for number in range(100)]
    before, last = np.mean(losses[-20:-10]), np.mean(losses[-10:])
    assert late_fall(losses) == pytest.approx((before - last) / (losses[0] - last))
    assert (late_fall(losses) > 0.02) is (half_life == 60)


def test_noise_rises_and_plateaus_are_no_fall() -> None:
    rng = np.random.default_rng(0)
    found = [late_fall(list(5 + rng.normal(size=60))) for _ in range(500)]
    assert np.mean(np.array(found) > 0) < 0.02
    assert late_fall([1.0] * 60) == 0 == late_fall([float(n) for n in range(60)])
    assert late_fall([100.0 - n for n in range(29)]) == 0  # too short a training


def test_only_a_training_that_ran_to_its_end_warns() -> None:
    losses = [100.0 - number for number in range(60)]
    warn_if_not_converged("Model", losses, planned=61)
    with pytest.warns(RecaeWarning, match="Model.* 60 .*100.* 41"):
        warn_if_not_converged("Model", losses, planned=60)
