"""Reports side by side: a table of texts, and a picture."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recae import ConfigError, Report
from recae.errors import StorageError
from recae.report import comparison, plot_comparison


def report(mean: float, low: float, high: float, coverage: float = 0.25) -> Report:
    per_user = pd.DataFrame({"ndcg@10": [mean - 0.1, np.nan, mean + 0.1]})
    return Report("Model()", per_user, {"coverage@5": coverage}, {"ndcg@10": (low, high)})


REPORTS = {"EASE": report(0.4, 0.35, 0.4567), "Mult-VAE": report(0.5, 0.46, 0.54, 1.0)}


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its first block."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_the_table_has_a_row_for_each_report() -> None:
    table = comparison(REPORTS)
    assert table.index.tolist() == ["EASE", "Mult-VAE"]
    assert table.to_dict("index") == {
        "EASE": {"ndcg@10": "0.4000 [0.3500, 0.4567]", "coverage@5": "0.2500"},
        "Mult-VAE": {"ndcg@10": "0.5000 [0.4600, 0.5400]", "coverage@5": "1.0000"},
    }


def test_a_metric_that_one_report_lacks_is_an_empty_cell() -> None:
    other = Report("Model()", pd.DataFrame({"mrr@5": [0.5]}))
    table = comparison({"EASE": REPORTS["EASE"], "other": other})
    assert table.loc["other", "mrr@5"] == "0.5000"
    assert pd.isna(table.loc["EASE", "mrr@5"]) and pd.isna(table.loc["other", "ndcg@10"])


def test_the_picture_is_a_png_that_grows_with_the_reports(tmp_path) -> None:
    path = plot_comparison(REPORTS, "ndcg@10", tmp_path / "two.png")
    assert path == tmp_path / "two.png"
    width, height = size(path)
    assert width == int(620 / 72 * 150) and height == int((62 + 2 * 26) / 72 * 150)
    five = {f"model {number}": report(0.1 * number, 0, 0.9) for number in range(5)}
    assert size(plot_comparison(five, "ndcg@10", str(tmp_path / "five.png")))[1] > height
    assert {part.name for part in tmp_path.iterdir()} == {"two.png", "five.png"}


def test_a_metric_without_intervals_has_a_picture_too(tmp_path) -> None:
    size(plot_comparison(REPORTS, "coverage@5", tmp_path / "coverage.png"))
    alike = {"a": report(0.1, 0.1, 0.1), "b": report(0.1, 0.1, 0.1)}
    size(plot_comparison(alike, "ndcg@10", tmp_path / "alike.png"))


def test_it_leaves_no_figure_behind_and_no_backend_chosen(tmp_path) -> None:
    import matplotlib

    def state() -> tuple[dict[str, object], bool]:
        settings = {key: dict.__getitem__(matplotlib.rcParams, key) for key in matplotlib.rcParams}
        return settings, "matplotlib.pyplot" in sys.modules

    before = state()
    plot_comparison(REPORTS, "ndcg@10", tmp_path / "plot.png")
    assert state() == before


def test_an_unknown_metric_is_named(tmp_path) -> None:
    message = "metric .*reports 'ndcg@1'.* mean 'ndcg@10'.*coverage@5"
    with pytest.raises(ConfigError, match=message):
        plot_comparison(REPORTS, "ndcg@1", tmp_path / "plot.png")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r'matplotlib: .*"recae\[plot\]"'):
        plot_comparison(REPORTS, "ndcg@10", tmp_path / "plot.png")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    with pytest.raises(StorageError, match="absent .*exist"):
        plot_comparison(REPORTS, "ndcg@10", tmp_path / "absent" / "plot.png")
    path = tmp_path / "plot.png"
    path.write_text("old")

    def full(self: object, part: Path, **options: object) -> None:
        Path(part).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(StorageError, match="No space .*nothing"):
        plot_comparison(REPORTS, "ndcg@10", path, overwrite=True)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_users_who_agree_to_the_last_bit_can_be_drawn(tmp_path):
    # The mean of the resamples may round the other way than the mean of the values.
    values = pd.DataFrame({"ndcg@10": np.full(49, 0.1)})
    mean = float(values["ndcg@10"].mean())
    low, high = np.nextafter(mean, 1), np.nextafter(mean, 0)  # both on the wrong side
    report = Report("Model()", values, {}, {"ndcg@10": (low, high)})
    path = plot_comparison({"a": report}, "ndcg@10", tmp_path / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")
