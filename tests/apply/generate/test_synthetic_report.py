"""The report separates structure without privacy from marginals without structure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae

from .conftest import tasteful

DOWNSTREAM = [recae.EASE(l2=50.0), recae.EASE(l2=200.0)]


@pytest.fixture(scope="module")
def report(vae: Any, people: Any, strangers: Any) -> recae.apply.generate.SyntheticReport:
    made = recae.apply.generate.synthesise(vae, 400)
    return recae.apply.generate.synthetic_report(
        people, made, strangers, downstream=DOWNSTREAM, metric="ndcg@20"
    )


def test_copies_and_structureless_users_are_told_apart(
    report: recae.apply.generate.SyntheticReport,
) -> None:
    """Items by popularity have the marginals alone; real users again have all but privacy."""
    found = report.measures
    copies, blind = found["resampled"], found["popularity"]
    assert blind["item_distance"] < 0.05
    assert blind["pair_correlation"] < 0.3 < 0.9 < copies["pair_correlation"]
    assert blind["pair_slope"] < 0.2 < 0.9 < copies["pair_slope"]
    assert copies["exact_copies"] == copies["nearer"] == copies["nearest_similarity"] == 1
    assert blind["exact_copies"] == 0 and blind["nearer"] < 0.1
    assert blind["use"] < 0.6 * copies["use"]
    auc = report.attacks.set_index(["of", "attack"])["auc"]
    # A model fitted on the members themselves knows them best.
    fits = auc.xs("fit, calibrated", level="attack")
    assert fits.idxmax() == "real" and fits["real"] > 0.6
    # 63 in 100 members are among as many users drawn again, and are then known by their copy.
    assert auc["resampled", "nearest"] > 0.7
    assert abs(auc["popularity", "nearest"] - 0.5) < 0.1


def test_synthetic_users_are_useful_and_no_copies(
    report: recae.apply.generate.SyntheticReport,
) -> None:
    found = report.measures
    assert report.kept > 0.85
    assert found.loc["use", "synthetic"] > 1.5 * report.floor
    assert found.loc["pair_correlation", "synthetic"] > 0.8
    assert found.loc["exact_copies", "synthetic"] == 0
    assert found.loc["nearer", "held-out"] == 0.5
    assert found.loc["nearer", "synthetic"] < 0.7
    auc = report.attacks.set_index(["of", "attack"])["auc"]
    assert auc["synthetic", "nearest"] < auc["resampled", "nearest"] - 0.1


def test_other_real_users_are_as_good_as_it_gets(people: Any, strangers: Any) -> None:
    """Users of the same kind as synthetic ones: nothing leaks, and nothing is missing."""
    found = recae.apply.generate.synthetic_report(
        people, tasteful(400, 2, "z"), strangers, downstream=DOWNSTREAM, metric="ndcg@20"
    )
    measures = found.measures["synthetic"]
    assert abs(measures["nearer"] - 0.5) < 0.05
    assert measures["close"] < 0.1
    assert found.kept > 0.95
    ours = found.attacks[found.attacks["of"] == "synthetic"]
    assert (ours["low"] < 0.53).all() and (ours["auc"] < 0.57).all()


def test_the_words_and_the_summary(report: recae.apply.generate.SyntheticReport) -> None:
    text = str(report)
    for word in ("400 synthetic", "400 real", "held-out", "AUC", "differential"):
        assert word in text
    summary = json.loads(json.dumps(report.summary()))
    assert summary["users"] == {"real": 400, "synthetic": 400, "held-out": 200} | {
        "pairs of items": report.users["pairs of items"]
    }
    assert summary["measures"]["use"]["held-out"] is None
    assert report.items.sum().to_numpy() == pytest.approx(1)
    assert {len(report.nearest[name]) for name in ("synthetic", "held-out")} == {400, 200}


def test_without_held_out_users_only_counts(people: Any, tmp_path: Path) -> None:
    found = recae.apply.generate.synthetic_report(people, people)
    assert not found.nearest and found.attacks.empty
    assert found.measures.loc["exact_copies", "synthetic"] == 1
    assert np.isnan(found.measures.loc["use", "synthetic"]) and np.isnan(found.kept)
    assert "not measured" in str(found)
    assert found.plot(tmp_path / "a.png").stat().st_size > 1000


def test_the_picture(report: recae.apply.generate.SyntheticReport, tmp_path: Path) -> None:
    assert report.plot(tmp_path / "a.png", overwrite=True).read_bytes().startswith(b"\x89PNG")


def test_a_fold_is_whole_histories(people: Any, strangers: Any, report: Any) -> None:
    fold = recae.StrongGeneralization().fold(strangers)
    made = tasteful(60, 3, "z")
    options: Any = {"downstream": recae.EASE(), "metric": "ndcg@20"}
    whole = recae.apply.generate.synthetic_report(people, made, strangers, **options)
    folded = recae.apply.generate.synthetic_report(people, made, fold, **options)
    np.testing.assert_array_equal(whole.nearest["held-out"], folded.nearest["held-out"])


def test_models_that_are_not_linear_have_two_attacks(people: Any, strangers: Any) -> None:
    found = recae.apply.generate.synthetic_report(
        people, tasteful(60, 3, "z"), strangers, downstream=recae.PureSVD(latent=8)
    )
    assert set(found.attacks["attack"]) == {"nearest", "nearest, calibrated"}


def test_mistakes(people: Any, strangers: Any) -> None:
    with pytest.raises(recae.DataError, match="3 .*3 held-out users .*real"):
        recae.apply.generate.synthetic_report(people, strangers, people.select_users([0, 1, 2]))
    with pytest.raises(recae.DataError, match="3 users; at least 20"):
        recae.apply.generate.synthetic_report(people, strangers, strangers.select_users([0, 1, 2]))
    other = recae.Interactions.from_csr(people.matrix, items=np.arange(80) + 1000)
    with pytest.raises(recae.DataError, match="synthetic interactions"):
        recae.apply.generate.synthetic_report(people, other)
    for options in (
        {"sample": 0},
        {"downstream": []},
        {"downstream": "ease"},
        {"metric": "x"},
        {"downstream": recae.EASE},
    ):
        with pytest.raises(recae.ConfigError):
            recae.apply.generate.synthetic_report(people, strangers, **options)


def test_rows_of_matrices_are_nobody_twice(people: Any, strangers: Any) -> None:
    """Ids 0, 1, ... that rows get for want of others don't say that users are the same."""
    made = tasteful(60, 3, "z")
    options: Any = {"downstream": recae.EASE(), "metric": "ndcg@20"}
    named = recae.apply.generate.synthetic_report(people, made, strangers, **options)
    bare = recae.apply.generate.synthetic_report(
        people.matrix, made.matrix, strangers.matrix, **options
    )
    np.testing.assert_array_equal(bare.nearest["held-out"], named.nearest["held-out"])


def test_words_go_by_the_surest_attack(report: recae.apply.generate.SyntheticReport) -> None:
    """An attack with a higher AUC and a wide interval doesn't hide one that is sure of a leak."""
    attacks = report.attacks.copy()
    mine = attacks.index[attacks["of"] == "synthetic"]
    attacks.loc[mine, ["auc", "low", "high"]] = [0.5, 0.45, 0.55]
    attacks.loc[mine[0], ["auc", "low", "high"]] = [0.55, 0.48, 0.62]
    assert "not better" in str(replace(report, attacks=attacks))
    attacks.loc[mine[1], ["auc", "low", "high"]] = [0.54, 0.51, 0.57]
    text = str(replace(report, attacks=attacks))
    assert re.search(r"AUC 0\.540 \(0\.510 to 0\.570\), better", text)


def test_of_nothing_nothing_is_kept(report: recae.apply.generate.SyntheticReport) -> None:
    measures = report.measures.copy()
    measures.loc["use"] = 0.0
    assert np.isnan(replace(report, measures=measures).kept)


def test_equal_lifts_have_no_correlation() -> None:
    """Their computed standard deviation may be 1e-17 instead of 0."""
    everything = sp.csr_matrix(np.ones((12, 4)))
    made = sp.csr_matrix(np.maximum(np.eye(12, 4), np.arange(48).reshape(12, 4) % 3 > 0))
    found = recae.apply.generate.synthetic_report(everything, made)
    assert np.isnan(found.measures.loc["pair_correlation", "synthetic"])
    assert np.isnan(found.measures.loc["pair_slope", "synthetic"])
