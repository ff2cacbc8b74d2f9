"""What a budget in seconds ends, by a clock that only the models move."""

from __future__ import annotations

import pytest

import recae
from recae.errors import RecaeWarning, TrainingError
from recae.tuning.attempt import Budget
from recae.tuning.study import Trial


def test_no_trial_begins_after_the_budget_and_the_overshoot_shows(planted) -> None:
    tuning = planted.tune(planted.Flat(cost=4.0), seconds=10, space={"quality": (0.0, 1.0)})
    # 4 and 8 seconds are spent; a third would end after 12, which the fastest one tells.
    assert tuning.trials["seconds"].tolist() == [4.0, 4.0] and tuning.seconds == 8.0


def test_a_fast_trial_lets_a_slow_one_begin_late(planted) -> None:
    space = {"cost": [1.0, 6.0]}
    tuning = planted.tune(planted.Flat(cost=1.0), seconds=3, space=space)
    assert tuning.trials["seconds"].tolist() == [1.0, 6.0] and tuning.seconds == 7.0


def test_the_first_trial_runs_however_long_it_takes(planted) -> None:
    tuning = planted.tune(planted.Flat(cost=50.0), seconds=10)
    assert (len(tuning.trials), tuning.seconds) == (1, 50.0)
    assert tuning.trials["state"].tolist() == ["complete"]


def test_a_training_in_epochs_is_cut_and_its_best_epoch_counts(planted) -> None:
    with pytest.warns(RecaeWarning, match="7"):
        tuning = planted.tune(planted.Curve(quality=0.8), seconds=7)
    (trial,) = tuning.trials.to_dict("records")
    assert (trial["state"], trial["epochs"], trial["seconds"]) == ("cut", 7, 7.0)
    assert trial["reason"] == "the time was up after epoch 7"
    assert tuning.value == pytest.approx(0.8 * (1 - 2**-7))
    assert len(tuning.model.epochs_) == 7


def test_the_last_trial_is_cut_at_the_budget(planted) -> None:
    options = {"space": {"quality": (0.4, 0.6)}, "halving": False}
    tuning = planted.tune(planted.Curve(epochs=20), seconds=50, **options)
    assert tuning.trials["epochs"].tolist() == [20, 20]  # and 10 s are too few for a third
    tuning = planted.tune(planted.Curve(epochs=20), seconds=60, **options)
    assert tuning.trials["epochs"].tolist() == [20, 20, 20]
    assert tuning.trials["state"].tolist() == ["complete"] * 3  # they end in time by themselves


def test_pruned_trials_make_room_for_one_that_is_cut(planted) -> None:
    space = {"quality": (0.0, 0.4)}
    tuning = planted.tune(planted.Curve(epochs=20, quality=0.3), seconds=24, space=space)
    states, epochs = tuning.trials["state"].tolist(), tuning.trials["epochs"].tolist()
    assert states[0] == "complete" and sum(epochs) <= 24
    if "cut" in states:
        assert states.index("cut") == len(states) - 1 and sum(epochs) == 24


def test_trials_and_seconds_bound_each_other(planted) -> None:
    options = {"space": {"quality": (0.0, 1.0)}}
    assert len(planted.tune(planted.Flat(), seconds=100, trials=3, **options).trials) == 3
    assert len(planted.tune(planted.Flat(), seconds=5, trials=30, **options).trials) == 5


def test_trials_in_a_row_without_a_better_one_end_the_search(planted, tmp_path) -> None:
    options = {"space": {"quality": (0.0, 1.0)}, "seconds": 50, "folder": tmp_path / "search"}
    best_first = planted.Flat(quality=0.7)
    found = planted.tune(best_first, patience=3, **options)
    assert len(found.trials) == 4 and found.seconds == 4.0
    assert len(planted.tune(best_first, patience=3, **options).trials) == 4  # resumed: none is left
    assert len(planted.tune(best_first, patience=5, **options).trials) == 6


def test_the_count_begins_again_with_each_better_trial() -> None:
    def trial(number: int, value: float | None) -> Trial:
        state = "failed" if value is None else "complete"
        return Trial(number, {}, value, 1.0, 0.0, None, state)

    past = [trial(0, 0.1), trial(1, None), trial(2, 0.2), trial(3, 0.2), trial(4, None)]
    budget = Budget(None, 10, patience=3)
    assert budget.allows(past)
    assert not budget.allows([*past, trial(5, 0.1)])
    assert budget.allows([*past, trial(5, 0.3)])


def test_failed_trials_say_nothing_of_the_time_that_others_need(planted) -> None:
    def trial(state: str, seconds: float) -> Trial:
        return Trial(0, {}, None, seconds, 0.0, None, state)

    budget = Budget(10.0, None, before=6.0)
    assert budget.allows([trial("complete", 4.0)])
    assert not budget.allows([trial("complete", 4.5), trial("failed", 0.1), trial("cut", 0.1)])
    assert budget.allows([trial("complete", 4.5), trial("pruned", 0.5)])
    assert not Budget(10.0, None, before=10.0).allows([])


def test_the_bar_counts_seconds_or_trials(planted, capsys, monkeypatch) -> None:
    monkeypatch.setattr("recae.system.progress.DELAY", 0.0)
    planted.tune(planted.Flat(), trials=3, progress=True)
    said = capsys.readouterr().err
    assert "tuning Flat: 100%" in said and "3/3" in said and "best=" in said
    with pytest.warns(RecaeWarning, match="5"):
        planted.tune(planted.Curve(epochs=9), seconds=5, progress=True)
    said = capsys.readouterr().err
    assert "tuning Curve: 100%" in said and "5/5" in said


def test_ctrl_c_says_what_is_kept(planted, monkeypatch, tmp_path) -> None:
    def interrupted(self: object, data: object, validation: object, run: object) -> None:
        if planted.clock.now >= 1e6:
            raise KeyboardInterrupt
        planted.clock.now = 1e6

    monkeypatch.setattr(planted.clock, "now", 0.0)
    monkeypatch.setattr(planted.Flat, "_fit", interrupted)
    monkeypatch.setattr(planted.Flat, "_arrays", lambda self: {})
    with pytest.raises(KeyboardInterrupt, match="after 1 trials.*folder"):
        planted.tune(planted.Flat(), trials=3, folder=tmp_path / "search")


def test_a_time_too_short_for_any_trial_is_named() -> None:
    split = recae.data.splits.holdout_pairs(recae.load_dataset().interactions, 0.2)
    with pytest.raises(TrainingError, match="first trial.*seconds"):
        recae.tune(recae.EASE(), split.train, split.validation, seconds=1e-9)
