"""Who is ended early, and who never is."""

from __future__ import annotations

import math

import pytest

from recae.tuning.attempt import hopeless, is_rung
from recae.tuning.trial import Trial

HOPELESS = {"quality": (0.0, 0.3)}


def reached(value: float, state: str = "complete", epochs: int = 30, **rungs: float) -> Trial:
    at = {int(name[1:]): height for name, height in rungs.items()}
    return Trial(0, {}, None if state == "failed" else value, 1.0, 1.0, epochs, state, rungs=at)


def test_rungs_are_powers_of_three() -> None:
    assert [epoch for epoch in range(1, 250) if is_rung(epoch)] == [3, 9, 27, 81, 243]


def test_the_best_third_goes_on() -> None:
    past = [reached(0.5, e3=value) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    # of six, two go on: 0.5 and the new one or 0.4
    assert hopeless(3, 0.45, past) == "" and hopeless(3, 0.4, past) == ""
    said = hopeless(3, 0.39, past)
    assert said == "at epoch 3 its 0.3900 was below 0.4000, the least of the best third"
    assert hopeless(3, 0.0, []) == ""  # the first


def test_those_who_failed_do_not_count_and_those_who_finished_do() -> None:
    assert hopeless(3, 0.1, [reached(0.9, "failed", e3=0.9)]) == ""
    early = reached(0.9, "complete", epochs=5, e3=0.2)
    assert hopeless(9, 0.5, [early]) != "" and hopeless(3, 0.5, [early]) == ""
    at_its_end = reached(0.9, "complete", epochs=9, e3=0.2)  # its last epoch is no rung of its own
    assert hopeless(9, 0.5, [at_its_end]) != ""
    assert hopeless(9, 0.5, [reached(0.9, "pruned", epochs=3, e3=0.9)]) == ""


def test_the_hopeless_are_pruned_and_the_rest_is_cheap(planted) -> None:
    tuning = planted.tune(planted.Curve(quality=0.9), trials=12, space=HOPELESS)
    assert tuning.trials["state"].tolist() == ["complete"] + ["pruned"] * 11
    assert tuning.trials["epochs"].sum() < 12 * 30 / 3
    least = 0.9 * (1 - 2**-3)
    assert f"was below {least:.4f}" in tuning.trials["reason"].iloc[1]
    assert tuning.params == {"quality": 0.9}
    whole = planted.tune(planted.Curve(quality=0.9), trials=12, space=HOPELESS, halving=False)
    assert whole.trials["epochs"].tolist() == [30] * 12
    assert set(whole.trials["state"]) == {"complete"}


@pytest.mark.parametrize("seed", range(5))
def test_the_best_is_never_pruned(planted, seed: int) -> None:
    template = planted.Curve(quality=0.05)
    tuning = planted.tune(template, trials=25, sampler="random", seed=seed)
    best = tuning.trials["quality"].max()
    assert tuning.params["quality"] == best
    assert tuning.value == pytest.approx(best * (1 - 2**-30))
    assert (tuning.trials["state"] == "pruned").sum() >= 10


def test_one_that_fails_after_a_rung_prunes_nobody(planted) -> None:
    space = {"quality": (0.0, 1.0)}
    tuning = planted.tune(
        planted.Curve(quality=0.95, breaks=0.6), trials=25, space=space, sampler="random"
    )
    states = tuning.trials.groupby("state")["quality"]
    assert states.min()["failed"] > 0.6
    finishing = tuning.trials.loc[tuning.trials["quality"] <= 0.6, "quality"]
    assert tuning.params["quality"] == finishing.max()


def test_no_trial_is_pruned_in_its_last_epoch(planted) -> None:
    tuning = planted.tune(planted.Curve(quality=0.9, epochs=3), trials=5, space=HOPELESS)
    assert tuning.trials["state"].tolist() == ["complete"] * 5


def test_more_than_the_first_third_is_let_go(planted) -> None:
    """By arithmetic: with qualities that rise nobody is pruned, with falling ones all but one."""
    rising = [reached(0.1 * n, e3=0.1 * n) for n in range(1, 6)]
    assert hopeless(3, 0.6, rising) == ""
    ranked = sorted([t.rungs[3] for t in rising] + [0.05], reverse=True)
    assert f"{ranked[math.ceil(6 / 3) - 1]:.4f}" in hopeless(3, 0.05, rising)
