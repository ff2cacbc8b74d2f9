"""The bundled suite, run whole: what is kept equals what the library gives when it is asked."""

from __future__ import annotations

import re
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from evaluation import __main__ as evaluation
from evaluation.suites import compare, published, report
from evaluation.suites import model as suite_model
from evaluation.suites import run as run_suite
from evaluation.suites.data import read_split
from evaluation.suites.kept import load_entries
from evaluation.suites.model import Places, identity, is_done, item_vectors, of_fit, run
from evaluation.suites.read import Candidate, read_suite
from recae.errors import ConfigError, DataError
from recae.training import Job, Result, Tracker, check_callbacks

SUITE = read_suite("bundled")
SINGLE = {"check_exact": False, "rtol": 0, "atol": 1e-7}  # values per user are kept in float32
SPLIT = read_split(SUITE, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the suite. Only ease runs in a process of its own, which takes seconds."""
    folder = tmp_path_factory.mktemp("suite")
    start = subprocess.run

    def child(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[-1] == "ease" or "-m" not in command:
            return start(command, **options)
        return subprocess.CompletedProcess(command, evaluation.main(command[3:]))

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)  # a second may cut a training
        patch.setattr(subprocess, "run", child)
        assert evaluation.main(["bundled", "--seconds", "1", *places(folder)]) == 0
    return folder


def places(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--work", str(folder / "work")]


def entries(folder: Path) -> dict[str, recae.report.Entry]:
    return {entry.name: entry for entry in load_entries(folder / "results" / "bundled")}


def test_every_model_has_its_entry_and_the_report_shows_it(folder: Path) -> None:
    assert set(entries(folder)) == set(SUITE.models)
    text = (folder / "results" / "bundled" / "report.md").read_text()
    page = (folder / "results" / "bundled" / "report.html").read_text()
    for name, entry in entries(folder).items():
        assert f"| {name} " in text and name in page
        assert f"{entry.value('ndcg@100'):.4f}" in text


def test_a_seed_of_a_suite_is_the_model_that_the_library_fits(folder: Path) -> None:
    kept = entries(folder)["mult-dae"]
    for seed, report_of_seed in enumerate(kept.reports):
        model = SUITE.models["mult-dae"].template.clone()
        model.fit(SPLIT.train, SPLIT.validation, seed=seed)
        vectors = item_vectors(SUITE, SPLIT)
        ours = recae.evaluate(model, SPLIT.test, SUITE.metrics, item_vectors=vectors)
        kept_of_it = report_of_seed.per_user
        assert list(kept_of_it) == ["ndcg@100", "recall@20"]  # what looks at targets
        pd.testing.assert_frame_equal(ours.per_user[list(kept_of_it)], kept_of_it, **SINGLE)
        assert report_of_seed.mean == pytest.approx(ours.mean, abs=1e-8)
        assert report_of_seed.interval == ours.interval
        assert len(report_of_seed.items) == (0 if seed else SPLIT.train.n_items)
    assert len(kept.reports) == 2 and kept.trials == []


def test_the_best_trial_is_what_was_tested(folder: Path) -> None:
    kept = entries(folder)["ease"]
    best = max(kept.trials, key=lambda trial: trial["value"])
    assert kept.trials[0]["params"] == {"l2": 200.0}  # the template's own settings come first
    model = recae.EASE(**best["params"]).fit(SPLIT.train)
    assert recae.evaluate(model, SPLIT.validation, "ndcg@100")["ndcg@100"] == best["value"]
    tested = recae.evaluate(model, SPLIT.test, "ndcg@100")["ndcg@100"]
    assert kept.value("ndcg@100") == pytest.approx(tested, abs=1e-8)


def test_results_say_where_they_come_from(folder: Path) -> None:
    for entry in entries(folder).values():
        said = entry.provenance["identity"]
        assert said["test"] == SPLIT.test.fingerprint()
        assert said["train"] == SPLIT.train.fingerprint()
        of_report = entry.reports[0].provenance
        assert of_report["target"] == SPLIT.test.target.fingerprint()
        assert {"torch", "numpy", "recae"} <= set(of_report["versions"]) and of_report["machine"]
        assert entry.peak_gb > 0.1 and len(entry.fit_seconds) == len(entry.reports)


def test_what_is_there_is_not_run_again(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (folder / "results" / "bundled" / "ease.json").stat().st_mtime_ns
    again = ["bundled", "--seconds", "1", "--models", "ease,popularity", *places(folder)]
    assert evaluation.main(again) == 0
    assert capfd.readouterr().out.count("result exists") == 2
    after = (folder / "results" / "bundled" / "ease.json").stat().st_mtime_ns
    assert before == after


def test_a_result_of_other_data_or_settings_is_not_taken_for_this_one(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    of = Places(folder / "results" / "bundled", folder / "work" / "bundled")
    popularity = SUITE.models["popularity"]
    assert is_done(SUITE, popularity, SPLIT, of)
    other = recae.StrongGeneralization(held_out=0.15).split(
        recae.load_dataset().interactions.filter(min_per_item=5, binarise=True), seed=1
    )
    assert identity(SUITE, popularity, other) != identity(SUITE, popularity, SPLIT)
    assert not is_done(SUITE, popularity, other, of)
    assert "train, validation, test" in capfd.readouterr().out
    with pytest.raises(DataError, match="data .*changed"):
        load_entries(of.results, target=other.test.target.fingerprint())


def test_a_model_that_runs_alone_stays_for_the_blend_it_is_a_member_of(tmp_path: Path) -> None:
    blend = Candidate("blend", recae.Ensemble(), None, 1, "", members=("popularity", "ease"))
    suite = replace(
        SUITE,
        metrics=("ndcg@100",),
        models={
            "popularity": SUITE.models["popularity"],
            "ease": replace(SUITE.models["ease"], search=None),
            "blend": blend,
        },
    )
    here = Places(tmp_path / "results", tmp_path / "work")
    with pytest.raises(ConfigError, match="^blend .*not fitted"):
        run(suite, blend, SPLIT, here, fit_only=False)
    for candidate in suite.models.values():
        run(suite, candidate, SPLIT, here, fit_only=False)
    by_hand = recae.Ensemble.of(
        [recae.Popularity().fit(SPLIT.train), recae.EASE().fit(SPLIT.train)], SPLIT.validation
    )
    expected = recae.evaluate(by_hand, SPLIT.test, "ndcg@100")["ndcg@100"]
    (blended,) = (e for e in load_entries(here.results) if e.name == "blend")
    assert blended.value("ndcg@100") == pytest.approx(expected, abs=1e-8)


def test_a_fit_of_other_settings_is_not_measured_as_this_one(tmp_path: Path) -> None:
    here = Places(tmp_path / "results", tmp_path / "work")
    for l2 in (3.0, 300.0):  # the second finds what the first has left
        candidate = replace(
            SUITE.models["ease"], template=recae.EASE(l2=l2), search=None, name="ease"
        )
        run(SUITE, candidate, SPLIT, here, fit_only=l2 == 3.0)
    (kept,) = load_entries(here.results)
    expected = recae.evaluate(recae.EASE(l2=300.0).fit(SPLIT.train), SPLIT.test, "ndcg@100")
    assert kept.value("ndcg@100") == pytest.approx(expected["ndcg@100"], abs=1e-8)


def test_models_are_compared_and_reported_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results", str(folder / "results")]
    compare.main(["bundled", "--models", "ease,popularity", *where])
    out = capsys.readouterr().out
    assert re.search("ease .*better .*popularity", out)
    assert report.main(["bundled", "--metric", "recall@20", *where]) == 0
    assert "recall@20" in capsys.readouterr().out.splitlines()[4].split("|")[2]


def test_a_run_of_one_model_leaves_published_figures_beside_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"ease": {"ndcg@100": recae.report.Published(0.4321, "a paper")}}
    monkeypatch.setattr(published, "of", lambda suite, model: figures.get(model, {}))
    one = ["bundled", "--seconds", "1", "--models", "popularity", *places(folder)]
    assert evaluation.main(one) == 0
    assert "0.4321" in (folder / "results" / "bundled" / "report.md").read_text()


def blend(folder: Path, l2: float, members: tuple[str, ...] = ("ease", "popularity")) -> Any:
    """A suite of EASE, popularity and their blend, and where it lies."""
    ease = replace(SUITE.models["ease"], template=recae.EASE(l2=l2), search=None)
    both = replace(ease, name="both", template=recae.Ensemble(), members=members)
    models = {"ease": ease, "popularity": SUITE.models["popularity"], "both": both}
    return replace(SUITE, models=models), Places(folder / "results", folder / "work")


def test_a_blend_of_other_members_is_another_result(tmp_path: Path) -> None:
    (suite, here), (changed, _) = blend(tmp_path, 3.0), blend(tmp_path, 300.0)
    for candidate in suite.models.values():
        run(suite, candidate, SPLIT, here, fit_only=False)
    assert is_done(suite, suite.models["both"], SPLIT, here)
    assert not is_done(changed, changed.models["both"], SPLIT, here)
    fewer, _ = blend(tmp_path, 3.0, ("ease",))
    assert not is_done(fewer, fewer.models["both"], SPLIT, here)


def test_a_blend_takes_no_member_of_other_settings(tmp_path: Path) -> None:
    (suite, here), (changed, _) = blend(tmp_path, 3.0), blend(tmp_path, 300.0)
    for name in ("ease", "popularity"):
        run(suite, suite.models[name], SPLIT, here, fit_only=True)
    with pytest.raises(ConfigError, match="not fitted .*: run ease "):
        run(changed, changed.models["both"], SPLIT, here, fit_only=True)


def test_members_of_a_blend_stay_whichever_models_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, _ = blend(tmp_path, 3.0)
    monkeypatch.setattr(run_suite, "read_suite", lambda name: suite)
    for only in ("ease", "popularity", "both"):  # as the processes that a run starts
        asked = ["--models", only, "--only", only, *places(tmp_path)]
        assert run_suite.main("bundled", asked) == 0
    assert (tmp_path / "results" / "bundled" / "both.json").is_file()


def test_what_is_held_out_to_choose_on_is_part_of_a_result() -> None:
    assert SPLIT.test is not None
    split = recae.data.splits.Split(SPLIT.train, None, SPLIT.test)
    told = [
        identity(replace(SUITE, protocol={"kind": "fixed", "carve": carve}), model, split)
        for carve in (0.1, 0.2)
        for model in (SUITE.models["ease"], SUITE.models["popularity"])
    ]
    assert told[0] != told[2] and of_fit(told[0]) != of_fit(told[2])
    assert told[1] == told[3]  # nothing of it is chosen


def test_a_fit_that_was_killed_before_its_note_is_fitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, here = blend(tmp_path, 3.0)
    other, _ = blend(tmp_path, 300.0)
    run(suite, suite.models["ease"], SPLIT, here, fit_only=True)
    with monkeypatch.context() as killed:
        killed.setattr(suite_model, "peak_gb", lambda: 1 / 0)  # the model is saved, its note is not
        with pytest.raises(ZeroDivisionError):
            run(other, other.models["ease"], SPLIT, here, fit_only=True)
    run(suite, suite.models["ease"], SPLIT, here, fit_only=True)
    assert recae.load(here.work / "ease" / "seed-0").l2 == 3.0


class Notes(Tracker):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.jobs, self.results = list[Job](), list[Result]()

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def end(self, job: Job, result: Result) -> None:
        self.results.append(result)


def test_a_model_of_a_suite_is_tracked_with_its_fits_and_its_test(tmp_path: Path) -> None:
    notes, candidate = Notes(), SUITE.models["mult-dae"]
    few = replace(candidate, template=candidate.template.clone().set_params(epochs=1))
    run(SUITE, few, SPLIT, Places(tmp_path, tmp_path), False, check_callbacks(notes))
    assert [job.kind for job in notes.jobs] == ["suite", "fit", "fit"]
    assert notes.jobs[0].name == "bundled mult-dae"
    assert [job.params["seed"] for job in notes.jobs[1:]] == [0, 1]
    (entry,) = load_entries(tmp_path)
    measured = notes.results[-1].metrics["ndcg@100"]
    assert measured == pytest.approx(entry.value("ndcg@100"), abs=1e-7)  # kept in float32
