"""What the suites of evaluation/ do beside calling recae: searching, refusing."""

from __future__ import annotations

import pytest

import recae
from evaluation import gowalla
from evaluation.grid import choose
from evaluation.ml20m_partial import METRIC

DATA = recae.load_dataset("ml-latest-small").interactions
SPLIT = recae.StrongGeneralization(held_out=0.3).split(DATA.filter(min_per_item=30))


def test_the_setting_that_is_best_on_validation_is_chosen() -> None:
    grid = {"l2": (1e6, 50.0), "dropout": (0.0, 0.3)}
    best, trials = choose(recae.EDLAE(), grid, SPLIT.train, SPLIT.validation, METRIC, seed=0)
    by_hand = {}
    for l2 in grid["l2"]:
        for dropout in grid["dropout"]:
            model = recae.EDLAE(l2=l2, dropout=dropout).fit(SPLIT.train)
            by_hand[l2, dropout] = recae.evaluate(model, SPLIT.validation, METRIC)[METRIC]
    assert (best.l2, best.dropout) == max(by_hand, key=by_hand.__getitem__)
    assert {(t["params"]["l2"], t["params"]["dropout"]): t[METRIC] for t in trials} == by_hand


@pytest.mark.parametrize("more", [["--set", "l2=3"], ["--top-items", "100"]])
def test_nothing_is_chosen_on_the_test(more: list[str], tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        gowalla.main([str(tmp_path), "--model", "ease", *more])
    assert "the test is not for choosing" in capsys.readouterr().err
