"""What an export says about itself, and what `verify` finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recae
from recae import EASE, DataError, Interactions
from recae.recommend.export import run


@pytest.fixture(scope="module")
def model(text_data: Interactions) -> EASE:
    return EASE(l2=3.0).fit(text_data)


@pytest.fixture
def folder(model: EASE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """36 users in parts of 10: 4 parts. u1 has every item, and no row."""
    monkeypatch.setattr(run, "PART_USERS", 10)
    assert model.export(tmp_path / "lists", k=3, batch_size=5) == 34 * 3 + 1
    return tmp_path / "lists"


def test_the_manifest_counts_what_is_there(model, text_data, folder) -> None:
    export = recae.open_export(folder)
    manifest = export.manifest
    assert (export.users, export.rows, export.k) == (36, 103, 3)
    assert manifest["format"] == 1 and manifest["kind"] == "recommendations"
    assert manifest["recae"] == recae.__version__ and manifest["created"][:2] == "20"
    assert manifest["model"]["fingerprint"] == model.fingerprint()
    assert manifest["data"] == {"fingerprint": text_data.fingerprint(), "users": 36}
    assert manifest["users_without_rows"] == 1
    assert manifest["schema"]["user_id"] == "string" and manifest["schema"]["score"] == "float"
    assert [part["users"] for part in manifest["parts"]] == [10, 10, 10, 6]
    assert [part["first_user"] for part in manifest["parts"]] == [0, 10, 20, 30]
    for part in manifest["parts"]:
        content = (folder / part["file"]).read_bytes()
        assert part["bytes"] == len(content)
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["rows"] == pq.read_metadata(folder / part["file"]).num_rows
    assert {file.name for file in folder.iterdir()} == {
        *(f"part-0000{part}.parquet" for part in range(4)),
        *("_manifest.json", "_SUCCESS", "_users.digests"),
    }
    assert (folder / "_SUCCESS").read_bytes() == b""


def test_the_rows_are_those_of_recommend(model, folder, tmp_path) -> None:
    expected = model.recommend(k=3)
    export = recae.open_export(folder)
    found = [
        export.dataset().to_table(),
        pa.Table.from_batches(export.batches()),
        pq.read_table(folder),
    ]
    model.export(tmp_path / "top.parquet", k=3)
    found.append(pa.Table.from_batches(recae.open_export(tmp_path / "top.parquet").batches()))
    for table in found:
        for column in expected:
            assert table[column].to_pylist() == expected[column].tolist()
    users = [list(pq.read_table(file)["user_id"].to_pylist()) for file in export.files]
    assert all(set(one).isdisjoint(other) for one, other in zip(users, users[1:], strict=False))


def test_the_files_say_where_they_are_from(model, folder, tmp_path) -> None:
    model.export(tmp_path / "top.parquet", k=3)
    for file in (*recae.open_export(folder).files, tmp_path / "top.parquet"):
        about = json.loads(pq.read_schema(file).metadata[b"recae"])
        assert about["model"]["fingerprint"] == model.fingerprint()
        assert about["options"]["k"] == 3 and about["users"] == 36
    single = recae.open_export(tmp_path / "top.parquet")
    assert (single.users, single.rows, single.k) == (36, 103, 3)
    assert single.manifest["parts"][0]["file"] == "top.parquet"
    single.verify()


def test_a_file_without_a_manifest_is_counted(tmp_path) -> None:
    frame = pd.DataFrame(
        {"user_id": ["a", "a", "b"], "item_id": [1, 2, 1], "score": [2.0, 1, 1], "rank": [1, 2, 1]}
    )
    frame.to_parquet(tmp_path / "old.parquet")
    export = recae.open_export(tmp_path / "old.parquet")
    assert (export.users, export.rows, export.k) == (2, 3, 2)
    frame.drop(columns="rank").to_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="rank"):
        recae.open_export(tmp_path / "other.parquet")


@pytest.mark.parametrize("harm", ["gone", "cut", "altered", "swapped"])
def test_verify_names_the_part_and_the_same_export_mends_it(
    model, folder, tmp_path, harm, capsys
) -> None:
    export, part = recae.open_export(folder), folder / "part-00002.parquet"
    export.verify()
    before = {file.name: file.read_bytes() for file in folder.glob("part-*")}
    content = before[part.name]
    if harm == "gone":
        part.unlink()
    elif harm == "cut":
        part.write_bytes(content[:-1])
    elif harm == "altered":
        part.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    else:
        part.write_bytes(before["part-00001.parquet"])
    with pytest.raises(DataError, match=r"part-00002\.parquet"):
        export.verify()
    part.unlink(missing_ok=True)
    model.export(folder, k=3, batch_size=5)
    assert {file.name: file.read_bytes() for file in folder.glob("part-*")} == before
    recae.open_export(folder).verify()


def test_an_export_that_is_replaced_while_it_is_read(model, folder) -> None:
    export = recae.open_export(folder)
    batches = export.batches(["user_id"])
    next(batches)
    model.export(folder, k=4, batch_size=5, overwrite=True)
    for read in (lambda: list(batches), export.verify):
        with pytest.raises(DataError, match="overwritten|replaced"):
            read()
    assert len(pa.Table.from_batches(recae.open_export(folder).batches())) > export.rows


def test_what_is_no_export(folder, tmp_path) -> None:
    (tmp_path / "letter").write_text("dear")
    (tmp_path / "empty").mkdir()
    for place, message in (
        (tmp_path / "letter", "no Parquet"),
        (tmp_path / "absent", "no export"),
        (tmp_path / ("long" * 99), "long"),
        (tmp_path / "empty", "no export"),
    ):
        with pytest.raises(DataError, match=message):
            recae.open_export(place)
    (folder / "_SUCCESS").unlink()
    with pytest.raises(DataError, match="not complete"):
        recae.open_export(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"users": 35},
        {"rows": 0},
        {"parts": []},
        {"parts": [{"file": "../part-00000.parquet"}]},
        {"kind": "else"},
        {"model": None},
    ],
)
def test_a_manifest_that_does_not_add_up_is_refused(folder, change) -> None:
    manifest = json.loads((folder / "_manifest.json").read_text())
    (folder / "_manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=r"_manifest\.json"):
        recae.open_export(folder)
    (folder / "_manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(DataError, match="format 2"):
        recae.open_export(folder)
    (folder / "_manifest.json").write_text("{")
    with pytest.raises(DataError, match="_manifest.json"):
        recae.open_export(folder)


def test_other_readers_find_the_parts_alone(model, folder) -> None:
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    pattern = str(folder / "*.parquet")
    found = duckdb.connect().execute(
        "select user_id, item_id from read_parquet(?) order by user_id, rank", [pattern]
    )
    expected = [*model.recommend(k=3)[["user_id", "item_id"]].itertuples(index=False, name=None)]
    assert sorted(found.fetchall()) == sorted(expected)
    assert polars.read_parquet(pattern)["item_id"].to_list() == [item for _, item in expected]
    assert len(pd.read_parquet(folder)) == len(expected)
