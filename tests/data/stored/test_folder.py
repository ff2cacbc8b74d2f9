"""`recae.open_data` maps the files, finds damage, and every reader takes a data folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae.system.digests import sha256_of_json

PLAYS = pd.DataFrame(
    {
        "user_id": ["b", "b", "ä", "c"],
        "item_id": [5, 7, 5, 6],
        "weight": [1.0, 3.0, 2.0, 4.0],
        "timestamp": [4, 3, 2, 1],
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recae.ingest(PLAYS, tmp_path / "data")
    return tmp_path / "data"


def test_the_arrays_are_read_only_maps_of_files_that_numpy_reads(folder: Path) -> None:
    data = recae.open_data(folder)
    for name in ("indptr", "indices", "weights", "times"):
        array = {"weights": data.matrix.data, "times": data.times}.get(name)
        array = getattr(data.matrix, name) if array is None else array
        assert not array.flags.writeable
        base = array
        while base is not None and not isinstance(base, np.memmap):
            base = base.base
        assert base is not None, f"{name} is a copy"
        np.testing.assert_array_equal(np.load(folder / f"{name}.npy"), array)
    read = recae.Interactions.from_frame(PLAYS)
    assert data.fingerprint() == read.fingerprint()
    assert data.keep(data.matrix.data > 1).nnz == 3 and data.binarised().weighted is False
    pd.testing.assert_frame_equal(data.to_frame(), read.to_frame())


@pytest.mark.parametrize("how", ["cut", "longer", "altered", "missing", "a folder"])
def test_damage_is_found(how: str, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        altered = bytearray(whole)
        altered[len(whole) // 2] ^= 1
        if how == "missing" or how == "a folder":
            path.unlink()
            if how == "a folder":
                path.mkdir()
        else:
            found = {"cut": whole[: len(whole) // 2], "longer": whole + b"\0", "altered": altered}
            path.write_bytes(found[how])
        with pytest.raises(recae.DataError):
            recae.open_data(folder, verify=True)
        if how != "altered":
            with pytest.raises(recae.DataError):
                recae.open_data(folder)
        shutil.rmtree(path) if path.is_dir() else None
        path.write_bytes(whole)
    recae.open_data(folder, verify=True)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"users": 2},
        {"users": "3"},
        {"users": None},
        {"interactions": 2**40},
        {"interactions": -1},
        {"ids": {}},
        {"files": {}},
        {"files": {"../data.json": {"bytes": 1, "checksum": ""}}},
        {"options": None},
    ],
)
def test_malformed_facts_are_a_data_error(change: dict[str, Any], folder: Path) -> None:
    about = json.loads((folder / "data.json").read_text()) | change
    about["sha256"] = sha256_of_json({k: v for k, v in about.items() if k != "sha256"})
    (folder / "data.json").write_text(json.dumps(about))
    with pytest.raises(recae.DataError):
        recae.read_table(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 5000, '{"format": 1}', "null"])
def test_malformed_json_is_a_data_error(text: str, folder: Path) -> None:
    (folder / "data.json").write_text(text)
    with pytest.raises(recae.DataError):
        recae.open_data(folder)


def test_what_is_no_data_folder(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(recae.DataError, match=r"data\.json"):
            recae.open_data(place)
    with pytest.raises(recae.ConfigError):
        recae.open_data(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("read", [recae.read_parquet, recae.read_csv, recae.read_table])
def test_readers_take_a_folder(read: Any, folder: Path) -> None:
    wanted = recae.Interactions.from_frame(PLAYS)
    assert read(folder).fingerprint() == wanted.fingerprint()
    some = recae.Interactions.from_frame(PLAYS, min_weight=2.5)
    assert read([str(folder)], min_weight=2.5).fingerprint() == some.fingerprint()
    plain = read(folder, weight=None, time=None)
    assert not plain.weighted and plain.times is None
    with pytest.raises(recae.ConfigError) as found:
        read(folder, duplicates="sum")
    assert found.value.parameter == "duplicates"


def test_a_folder_among_files_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    PLAYS.to_csv(tmp_path / "more.csv", index=False)
    with pytest.raises(recae.DataError, match="data"):
        recae.read_table([folder, tmp_path / "more.csv"])


def test_its_rows_are_a_table_too(folder: Path) -> None:
    frame = recae.data.read_columns(folder, "user_id", "item_id", ("timestamp",))
    assert frame.to_numpy().tolist() == [["b", 5, 4], ["b", 7, 3], ["c", 6, 1], ["ä", 5, 2]]
