"""The picture of a search: there, whole, and with everything in it."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

import recae
from recae import ConfigError
from recae.errors import StorageError


def size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """The figures that are saved, kept to be looked at."""
    from matplotlib.figure import Figure

    kept: list[Any] = []
    save = Figure.savefig

    def keep(self: Any, *arguments: Any, **options: Any) -> None:
        kept.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def test_a_panel_for_every_setting_and_a_legend_for_every_state(planted, drawn, tmp_path) -> None:
    space = {"quality": (0.0, 1.0), "epochs": (4, 40), "optimiser": ["adam", "nadam"]}
    tuning = planted.tune(planted.Curve(breaks=0.8), trials=25, space=space, sampler="random")
    assert tuning.plot(tmp_path / "trials.png") == tmp_path / "trials.png"
    assert size(tmp_path / "trials.png")[0] == 9 * 150
    (figure,) = drawn
    overview, *panels = figure.axes
    assert [axes.get_xlabel() for axes in panels] == ["epochs", "optimiser", "quality"]
    assert [axes.get_xscale() for axes in panels] == ["log", "linear", "linear"]
    assert [text.get_text() for text in panels[1].get_xticklabels()] == ["adam", "nadam"]
    legend = [text.get_text() for text in overview.get_legend().get_texts()]
    counts = tuning.trials["state"].value_counts()
    assert set(counts.index) == {"complete", "pruned", "failed"}
    for state, count in counts.items():
        assert any(text.startswith(f"{state} ({count})") for text in legend)
    assert legend[-1].startswith(f"best: trial {tuning.trials['value'].argmax()}, ")


def test_the_line_is_the_best_so_far_at_the_seconds_spent(planted, drawn, tmp_path) -> None:
    tuning = planted.tune(planted.Flat(cost=2.0), trials=9, space={"quality": (0.0, 1.0)})
    tuning.plot(tmp_path / "trials.png")
    (line,) = [one for one in drawn[0].axes[0].lines if one.get_label() == "best so far"]
    assert line.get_xdata().tolist() == [2.0 * n for n in range(1, 10)]
    assert line.get_ydata().tolist() == tuning.trials["value"].cummax().tolist()


def test_one_trial_and_a_template_outside_the_space_can_be_drawn(planted, tmp_path) -> None:
    tuning = planted.tune(planted.Flat(), trials=1, space={"width": [1], "kind": ["b"]})
    size(tuning.plot(tmp_path / "trials.png"))
    hidden = recae.MultVAE.param_fields()["hidden"].default
    assert hidden == (600,)


def test_mistakes(planted, tmp_path, monkeypatch) -> None:
    tuning = planted.tune(planted.Flat(), trials=1)
    with pytest.raises(StorageError, match="folder .*no .*not exist"):
        tuning.plot(tmp_path / "no" / "trials.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r'matplotlib: .*"recae\[plot\]"'):
        tuning.plot(tmp_path / "trials.png")
    assert not list(tmp_path.iterdir())


def test_a_setting_called_like_a_column_has_another_one(planted) -> None:
    tuning = planted.tune(planted.Curve(), trials=4, space={"epochs": (2, 5)})
    assert tuning.trials["epochs_set"].tolist()[0] == 30
    assert tuning.trials["epochs"].tolist()[0] == 30
    assert (tuning.trials["epochs"] <= tuning.trials["epochs_set"]).all()


def test_repr(planted) -> None:
    tuning = planted.tune(planted.Flat(quality=0.7), trials=2, space={"width": (1, 4)})
    assert repr(tuning) == (
        "Tuning(Flat(quality=0.7), ndcg@100 1.0000 on validation, 2 trials in 2.0 s)"
    )
