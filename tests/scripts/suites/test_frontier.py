"""Accuracy against seconds of the suites: what counts as time, and who is on the frontier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

import recae
from evaluation.suites import frontier
from evaluation.suites.kept import save_entry
from evaluation.suites.read import read_suite

SUITE = read_suite("bundled")


def entry(
    name: str, value: float, fit: list[float], trials: list[tuple] = ()
) -> recae.report.Entry:
    values = pd.DataFrame({SUITE.metric: [value, value]}, index=[1, 2])
    return recae.report.Entry(
        name,
        [recae.Report(name, values)] * max(len(fit), 1),
        fit_seconds=fit,
        trials=[{"params": {}, "value": v, "seconds": s, "state": state} for v, s, state in trials],
    )


SEARCHED = entry(
    "ease",
    0.3,
    [5.0],
    [(0.1, 2.0, "complete"), (0.9, 3.0, "pruned"), (0.2, 4.0, "complete"), (0.2, 8.0, "complete")],
)


def test_the_trials_count_up_to_the_chosen_one() -> None:
    assert frontier.seconds(SEARCHED, tuned=False) == 5.0
    assert frontier.seconds(SEARCHED, tuned=True) == 5.0 + 2.0 + 3.0 + 4.0
    assert frontier.seconds(entry("als", 0.3, [1.0, 9.0, 2.0]), tuned=True) == 2.0  # the median


def test_an_ensemble_takes_the_time_of_its_members() -> None:
    blend = replace(SUITE.models["ease"], name="both", members=("ease", "als"))
    suite = replace(SUITE, models={**SUITE.models, "both": blend})
    entries = [SEARCHED, entry("als", 0.2, [1.0]), entry("both", 0.4, [0.5])]
    assert [e.seconds for e in frontier.timed(suite, entries, False)] == [5.0, 1.0, 6.5]
    assert [e.seconds for e in frontier.timed(suite, entries, True)] == [14.0, 1.0, 15.5]


def test_no_faster_model_reaches_one_of_the_frontier() -> None:
    given = [("a", 0.1, 1.0), ("b", 0.3, 2.0), ("c", 0.2, 3.0), ("d", 0.3, 4.0), ("e", 0.4, 9.0)]
    entries = [entry(name, value, [seconds]) for name, value, seconds in given]
    names = [e.name for e in frontier.front(entries, SUITE.metric)]
    assert names == ["a", "b", "e"]


def test_the_pictures_and_the_names_are_written(tmp_path: Path, capsys) -> None:
    for one in (SEARCHED, entry("popularity", 0.1, [0.0])):
        save_entry(tmp_path / "bundled", one)
    assert frontier.main(["bundled", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "`popularity` 0.1000 (0.0 s), `ease` 0.3000 (5.0 s)" in said
    assert "`ease` 0.3000 (14 s)" in said
    for picture in frontier.PICTURES.values():
        assert (tmp_path / "bundled" / picture).read_bytes().startswith(b"\x89PNG")
