"""`recae datasets`: the table of the cards, one card, and JSON; all offline."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from recae import cli
from recae.data import dataset_card, dataset_names

# What the READMEs of the sets and Liang et al. 2018 say.
ML_20M = ("138,493", "26,744", "20,000,263")
ML_20M_PREPROCESSED = ("136,677 users", "20,720 rated items", "9,990,682 interactions")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache and no network."""

    def connect(*_: Any) -> None:
        raise AssertionError("nothing is fetched by this command")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("RECAE_DATA", str(tmp_path))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["datasets", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_line_for_each_set(capsys) -> None:
    head, *lines = said(capsys).splitlines()
    assert head.split() == ["name", "users", "items", "interactions", "licence", "here"]
    rows = {line.split()[0]: line for line in lines}
    assert list(rows) == dataset_names()
    assert tuple(rows["ml-20m"].split()[1:4]) == ML_20M
    assert rows["ml-20m"].endswith("research, no redistribution  to fetch")
    assert rows["netflix"].endswith("by hand")
    assert rows["ml-latest-small"].endswith(("bundled", "not here"))  # tables do not travel
    assert max(map(len, lines)) <= 100
    ends = {line.index(line.split()[3]) + len(line.split()[3]) for line in lines}
    assert len(ends) == 1  # numbers stand below each other


def test_what_is_in_the_cache_is_said_to_be(capsys, tmp_path) -> None:
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ml-1m.zip").touch()
    rows = {line.split()[0]: line for line in said(capsys).splitlines()}
    assert rows["ml-1m"].endswith("  cached") and rows["ml-10m"].endswith("  to fetch")


def test_a_card(capsys, tmp_path) -> None:
    out = said(capsys, "ml-20m")
    words = " ".join(out.split())
    assert out.startswith("ml-20m: MovieLens 20M, 2015\n")
    assert all(count in words for count in (*ML_20M, *ML_20M_PREPROCESSED))
    assert "filter(min_weight=4.0, min_per_user=5, binarise=True)" in words
    assert "commercial" in words
    assert "https://files.grouplens.org/datasets/movielens/ml-20m.zip (md5:" in words
    assert f"to fetch: {tmp_path / 'ml-20m'}" in words
    assert "rated_items: " in words


def test_a_card_of_published_parts(capsys) -> None:
    words = " ".join(said(capsys, "gowalla").split())
    assert "810,128 train, 217,242 test" in words and "published parts: train, test" in words
    assert "(unpinned)" in words


def test_the_steps_of_a_manual_download(capsys) -> None:
    out = said(capsys, "netflix")
    assert dataset_card("netflix")["steps"].strip("\n") in out


def test_json(capsys) -> None:
    all_of_them = json.loads(said(capsys, "--json"))
    assert list(all_of_them) == dataset_names()
    one = json.loads(said(capsys, "ml-100k", "--json"))
    assert one == all_of_them["ml-100k"]
    assert one["counts"]["interactions"] == 100_000 and one["state"] == "to fetch"
    assert dataset_card("ml-100k").items() <= one.items()


def test_an_unknown_name(capsys) -> None:
    assert cli.main(["datasets", "ml-1n"]) == 2
    assert re.search("dataset 'ml-1n'.* mean 'ml-1m'", capsys.readouterr().err)
