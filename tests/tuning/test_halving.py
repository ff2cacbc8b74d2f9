"""Who is ended early, and who never is."""

from __future__ import annotations

import pytest

from recae.tuning.space import read_space
from recae.tuning.study import FINISHED, Study, Trial

HOPELESS = {"quality": (0.0, 0.3)}


@pytest.fixture
def race(planted):
    """Runs trials by hand: {epoch: value} and how each ends; the epoch that ended each, or None."""

    def run(*trials: tuple[dict[int, float], str]) -> list[int | None]:
        study, ends = (
            Study(read_space(planted.Curve(), {"quality": (0, 1)}), "random", 0, None, {}),
            [],
        )
        for number, (values, state) in enumerate(trials):
            params = study.ask({"quality": 0.5})
            end = next((epoch for epoch, v in values.items() if study.behind(epoch, v)), None)
            state = state if end is None else "pruned"
            if state == "complete":
                study.behind(FINISHED, max(values.values()))
            value = None if state == "failed" else max(values.values())
            study.tell(Trial(number, params, value, 1.0, 1.0, max(values), state), None)
            ends.append(end)
        return ends

    return run


def flat(value: float, epochs: int = 30, state: str = "complete") -> tuple[dict[int, float], str]:
    return dict.fromkeys(range(1, epochs + 1), value), state


def test_trials_are_compared_after_3_9_27_and_81_epochs(race) -> None:
    leader = {epoch: 0.5 for epoch in range(1, 101)}
    for rung in (3, 9, 27, 81):
        falls = {e: 0.6 if e < rung else 0.4 for e in leader}  # behind from this epoch on
        assert race((leader, "complete"), (falls, "complete")) == [None, rung]
        late = {e: 0.6 if e <= rung else 0.4 for e in leader}  # behind one epoch later
        following = None if rung == 81 else 3 * rung
        assert race((leader, "complete"), (late, "complete")) == [None, following]


def test_the_best_third_goes_on(race) -> None:
    rising = [flat(value, 4) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert race(*rising, flat(0.45, 4)) == [None] * 6  # of six, two go on: 0.5 and the new one
    assert race(*rising, flat(0.4, 4)) == [None] * 6  # or 0.4, and its equal
    assert race(*rising, flat(0.39, 4))[-1] == 3
    assert race(flat(0.0)) == [None]  # the first


def test_those_who_failed_do_not_count_and_those_who_finished_do(race) -> None:
    assert race(flat(0.9, 12, "failed"), flat(0.1)) == [None, None]
    early = dict.fromkeys(range(1, 5), 0.2) | {5: 0.9}, "complete"
    assert race(early, flat(0.5)) == [None, 9]
    at_its_end = dict.fromkeys(range(1, 9), 0.2) | {9: 0.9}, "complete"
    assert race(at_its_end, flat(0.5)) == [None, 9]
    pruned = {1: 0.1, 2: 0.1, 3: 0.1, 9: 0.9}, "complete"  # it never came to epoch 9
    assert race(flat(0.2, 4), pruned, flat(0.3)) == [None, 3, None]


def test_the_hopeless_are_pruned_and_the_rest_is_cheap(planted) -> None:
    tuning = planted.tune(planted.Curve(quality=0.9), trials=12, space=HOPELESS)
    assert tuning.trials["state"].tolist() == ["complete"] + ["pruned"] * 11
    assert tuning.trials["epochs"].sum() < 12 * 30 / 3
    value = tuning.trials["quality"].iloc[1] * (1 - 2**-3)
    assert f"{value:.4f} at epoch 3" in tuning.trials["reason"].iloc[1]
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


def test_rising_trials_are_never_ended_and_falling_ones_are(race) -> None:
    rising = [flat(0.1 * n, 4) for n in range(1, 8)]
    assert race(*rising) == [None] * 7
    assert race(*rising[::-1])[1:] == [3] * 6
