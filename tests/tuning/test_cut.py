"""A model whose best trial the clock has cut: warned of, and marked wherever its figures go."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import recae
from recae import RecaeWarning
from recae.evaluation.comparison import verdicts
from recae.recommend.tuned import mark_tuned, tuning_of
from recae.report import Entry, markdown


@pytest.fixture
def cut(planted):
    """The only trial is cut after 7 of its epochs."""
    with pytest.warns(RecaeWarning, match=r"number 0\b.* 7\b"):
        return planted.tune(planted.Curve(quality=0.8), seconds=7)


def test_the_model_and_its_refit_carry_the_mark(planted, cut) -> None:
    facts = tuning_of(cut.model)
    assert facts is not None and facts["cut"].endswith(" 7")
    assert (facts["trials"], facts["seconds"]) == (1, 7.0)
    assert facts["searched"].split(", ") == list(cut._space.parts)
    assert tuning_of(cut.refit(cut.model.history_)) == facts
    assert tuning_of(cut.model.clone().fit(cut.model.history_)) is None
    cut.model.fit(cut.model.history_)  # a fit of its own
    assert tuning_of(cut.model) is None


def test_a_finished_search_has_no_mark(planted) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = planted.tune(planted.Flat(cost=1.0), seconds=3, space={"quality": (0.0, 1.0)})
    facts = tuning_of(found.model)
    assert facts is not None and facts["searched"] == "quality" and "cut" not in facts


def test_the_mark_is_saved(tmp_path) -> None:
    matrix = recae.load_dataset("ml-latest-small").interactions.matrix[:50]
    model = recae.Popularity().fit(matrix)
    mark_tuned(model, {"searched": "l2", "metric": "ndcg@5", "trials": 2, "seconds": 3.5})
    assert tuning_of(recae.load(model.save(tmp_path / "model"))) == tuning_of(model)
    other = recae.Popularity().fit(matrix)
    mark_tuned(other, {"searched": "l2", "metric": "ndcg@5", "trials": 2, "seconds": 3.5})
    blend = recae.Ensemble.of([model, recae.ItemKNN().fit(matrix), other])
    facts = tuning_of(recae.load(blend.save(tmp_path / "blend")))
    assert facts is not None
    assert (facts["trials"], facts["seconds"]) == (4, 7.0)  # of the two that were tuned
    assert facts["searched"] == "Popularity l2; Popularity l2"


def reports() -> dict[str, recae.Report]:
    values = [pd.DataFrame({"ndcg@5": [0.1 * n, 0.4, 0.3]}) for n in (1, 2)]
    tuning = {"searched": "lr, beta", "trials": 3, "seconds": 60.0, "cut": "after epoch 2"}
    return {
        "vae": recae.Report("MultVAE()", values[0], provenance={"tuning": tuning}),
        "ease": recae.Report("EASE()", values[1]),
    }


def test_comparisons_and_verdicts_have_a_note() -> None:
    given = reports()
    frame = recae.compare(given, "ndcg@5")
    (note,) = frame["note"]
    assert "vae" in note and "after epoch 2" in note and "ease" not in note
    assert note in verdicts(frame)[0] and repr(frame).endswith(note)
    again = recae.compare({"ease": given["ease"], "pop": given["ease"]}, "ndcg@5")
    assert again["note"].tolist() == [""]
    assert verdicts(frame.drop(columns="note"))[0] + f". Note: {note}" == verdicts(frame)[0]


def test_pages_show_what_was_tuned_for_how_long_and_mark_the_cut(tmp_path) -> None:
    entries = [Entry(name, [report]) for name, report in reports().items()]
    page = markdown(entries)
    row = next(line for line in page.splitlines() if line.startswith("| vae"))
    assert "| vae [1] |" in row and "lr, beta (3 trials)" in row and " 60.0 " in row
    assert page.count("after epoch 2") == 1 and "[1] " in page.splitlines()[-1]
    written = recae.report.html(entries, tmp_path / "page.html").read_text()
    assert "after epoch 2" in written and "lr, beta (3 trials)" in written


def test_kept_trials_tell_as_much(tmp_path) -> None:
    trials = [
        {"params": {"l2": 1}, "value": 0.2, "seconds": 5, "state": "complete"},
        {"params": {"l2": 2}, "value": 0.3, "seconds": 5, "state": "cut"},
        {"params": {"l2": 3}, "value": None, "seconds": 5, "state": "failed"},
    ]
    entry = Entry("vae", [reports()["ease"]], tuning_seconds=15, trials=trials)
    page = markdown([entry])
    assert "| vae [1] |" in page and "l2 (3 trials)" in page
    trials[0]["value"] = 0.5
    assert "vae [1]" not in markdown([entry])
