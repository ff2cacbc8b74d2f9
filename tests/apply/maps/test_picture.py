"""The picture of a map: a whole PNG or none, names that do not overlap, colours that stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import recae
from recae.apply.maps.colours import DARK, LIGHT, MARKS, OTHER_DARK, OTHER_LIGHT
from recae.apply.maps.points import chosen


@pytest.mark.parametrize("colour", ["genres", "users", None])
def test_a_png_is_written(drawn: recae.apply.maps.Map, tmp_path: Path, colour: str | None) -> None:
    path = drawn.plot(tmp_path / "map.png", colour=colour, labels=5, title="Films")
    with Image.open(path) as picture:
        picture.load()
        assert (
            picture.format == "PNG" and picture.size[0] == 1650 and 900 <= picture.size[1] <= 1425
        )
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 50


def test_points_without_anything_known_can_be_drawn(codes: np.ndarray, tmp_path: Path) -> None:
    kinds = pd.DataFrame({"id": range(60), "kind": None, "size": [np.nan, *range(1, 60)]})
    for about in (None, kinds):
        drawn = recae.apply.maps.map_codes(codes, about=about, method="pca")
        for colour in (None, *drawn.colours):
            assert (
                drawn.plot(tmp_path / "map.png", colour=colour, overwrite=True).stat().st_size
                > 5000
            )


def test_whole_or_not_at_all(
    drawn: recae.apply.maps.Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map.png").write_text("before")
    with pytest.raises(recae.ConfigError, match="labels .* -1"):
        drawn.plot(tmp_path / "map.png", labels=-1)
    with pytest.raises(recae.ConfigError, match="unknown colour"):
        drawn.plot(tmp_path / "map.png", colour="popularity")
    with pytest.raises(recae.errors.StorageError, match="directory"):
        drawn.plot(tmp_path)

    def full(self, path, **options) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(recae.errors.StorageError, match="No space"):
        drawn.plot(tmp_path / "map.png", overwrite=True)
    assert (tmp_path / "map.png").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_names_go_to_the_important_points_of_every_region() -> None:
    rng = np.random.default_rng(0)
    positions = np.concatenate([rng.normal(size=(300, 2)), [[20, 20], [20.1, 20], [-20, 20]]])
    importance = np.concatenate([np.arange(300.0, 0, -1), [5, 9, 1]])
    found = chosen(positions, importance, 6).tolist()
    assert found[0] == 0  # the most important of all
    assert 301 in found and 300 not in found and 302 in found
    assert chosen(positions, importance, 0).tolist() == []
    assert len(chosen(np.zeros((4, 2)), np.zeros(4), 3)) >= 1


# Machado, Oliveira & Fernandes (2009), severity 1: rows of the matrices for linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("kind", list(BLINDNESS))
@pytest.mark.parametrize(("colours", "other"), [(LIGHT, OTHER_LIGHT), (DARK, OTHER_DARK)])
def test_colours_stay_apart(colours: tuple[str, ...], other: str, kind: str) -> None:
    shades = [lab(simulated(linear(text), BLINDNESS[kind])) for text in (*colours, other)]
    apart = [np.linalg.norm(a - b) for at, a in enumerate(shades) for b in shades[at + 1 :]]
    assert min(apart) > 15  # CIE76; two neighbouring shades of grey are told apart at 2.3


@pytest.mark.parametrize(("colours", "paper"), [(LIGHT, "#ffffff"), (DARK, "#14181d")])
def test_colours_stand_out_from_the_paper(colours: tuple[str, ...], paper: str) -> None:
    weights = np.array([0.2126, 0.7152, 0.0722])
    ground = linear(paper) @ weights + 0.05
    for text in colours:
        shade = linear(text) @ weights + 0.05
        assert max(ground / shade, shade / ground) > 2.5, text
    assert len({*MARKS}) == len(MARKS) == len(colours)


def linear(text: str) -> np.ndarray:
    values = np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def simulated(rgb: np.ndarray, matrix) -> np.ndarray:
    return np.clip(np.asarray(matrix) @ rgb, 0, 1)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of linear RGB."""
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.asarray(to_xyz) @ rgb / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_every_group_is_in_the_legend(codes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [("_under", "over", None)[i % 3] for i in range(60)]
    drawn = recae.apply.maps.map_codes(
        codes, about=pd.DataFrame({"id": range(60), "kind": kinds}), method="pca"
    )
    found = []

    def keep(figure: Any, path: Path, **options: Any) -> Path:
        (legend,) = figure.legends
        found.extend(text.get_text().strip("\u200b") for text in legend.get_texts())
        return path

    monkeypatch.setattr("recae.apply.maps.picture.write", keep)
    drawn.plot("map.png", labels=0)
    assert sorted(found[:2]) == ["_under (20)", "over (20)"]
    assert found[2:] == ["other (20)"]


@pytest.mark.parametrize("title", ["東京事変", "Ария", "فيروز", "हिन्दी"])
def test_titles_of_any_script_are_drawn_without_warnings(tmp_path: Path, title: str) -> None:
    codes = np.random.default_rng(0).normal(size=(30, 3))
    about = pd.DataFrame({"id": range(30), "title": [f"{title} {i}" for i in range(30)]})
    drawn = recae.apply.maps.map_codes(codes, about=about, method="pca")
    assert drawn.plot(tmp_path / "map.png", labels=5).stat().st_size > 1000  # warnings are errors


def test_a_column_that_groups_nothing_is_no_default_colour() -> None:
    codes = np.random.default_rng(0).normal(size=(30, 3))
    about = pd.DataFrame({"id": range(30), "url": [f"https://x/{i}" for i in range(30)]})
    drawn = recae.apply.maps.map_codes(codes, about=about, method="pca")
    assert drawn.colour_name() is None and drawn.colour_name("url") == "url"
    kinds = about.assign(kind=["a", "b", "c"] * 10)
    drawn = recae.apply.maps.map_codes(codes, about=kinds, method="pca")
    assert drawn.colour_name() == "kind"
