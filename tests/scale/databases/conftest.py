"""Exports for tests that load them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

import recae

from .contents import Place


@pytest.fixture(scope="module")
def exports(
    tmp_path_factory: pytest.TempPathFactory, int_frame: pd.DataFrame, text_frame: pd.DataFrame
) -> dict[str, Path]:
    """Folders of exports: with integers, with text and titles, of another k, and of one user."""
    folder = tmp_path_factory.mktemp("exports")
    numbers, words = (recae.EASE().fit(frame) for frame in (int_frame, text_frame))
    titles = {"i1": "It's “one”", "i2": "two\n"}
    numbers.export(folder / "int", int_frame, k=5)
    words.export(folder / "text", text_frame, k=4, titles=titles)
    numbers.export(folder / "other", int_frame, k=3)
    numbers.export(folder / "one", int_frame, k=3, users=[107], exclude_seen=False)
    numbers.export(folder / "file.parquet", int_frame, k=2)
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A kind -> the URL of an empty place in a database of this kind."""

    def empty(kind: str) -> str:
        if kind == "duckdb":
            pytest.importorskip("duckdb")
            return f"duckdb:{tmp_path}/shop.duckdb?table=lists"
        name = f"load_{os.getpid()}_{abs(hash(tmp_path))}"
        if kind == "redis":
            return f"{request.getfixturevalue('redis_server').url}?prefix={name}:"
        pytest.importorskip("adbc_driver_postgresql")
        return f"{request.getfixturevalue('postgresql_server').url}?table={name}"

    return empty
