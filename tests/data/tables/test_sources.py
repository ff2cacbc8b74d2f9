"""Whatever library a table comes from, and however it is cut, it gives the same interactions."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import recae
from recae import DataError, Interactions
from recae.data.tables import files, sources
from recae.data.tables.sources import as_source

FRAME = pd.DataFrame(
    {
        "user_id": [7, 7, 3, 9, 3, 7],
        "item_id": ["b", "a", "c", "a", "c", "b"],
        "weight": [1.0, 2.0, 5.0, 3.0, 4.0, 2.5],
        "timestamp": [5, 6, 7, 8, 6, 9],
    }
)
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)


class Stream:
    """Only the Arrow stream protocol, as polars and others have it."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Interchange:
    """Only the dataframe interchange protocol."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __dataframe__(self, **options: object) -> object:
        return self.table.__dataframe__(**options)


def same(one: Interactions, other: Interactions) -> bool:
    times = [None if data.times is None else data.times.tolist() for data in (one, other)]
    return one.fingerprint() == other.fingerprint() and times[0] == times[1]


KINDS = {
    "pandas": FRAME,
    "pandas with Arrow columns": TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "table": TABLE,
    "chunked table": pa.concat_tables([TABLE.slice(0, 2), TABLE.slice(2)]),
    "batch": TABLE.to_batches()[0],
    "dictionaries": TABLE.set_column(1, "item_id", TABLE["item_id"].dictionary_encode()),
    "large text": TABLE.cast(TABLE.schema.set(1, pa.field("item_id", pa.large_string()))),
    "small integers": TABLE.cast(TABLE.schema.set(0, pa.field("user_id", pa.uint8()))),
    "stream": Stream(TABLE),
    "interchange": Interchange(TABLE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same(kind: str) -> None:
    expected = Interactions.from_frame(FRAME)
    assert expected.nnz == 4  # two pairs come twice
    assert same(Interactions.from_frame(KINDS[kind]), expected)


def test_streams_and_datasets_are_read_too(tmp_path: Path) -> None:
    expected = Interactions.from_frame(FRAME)
    assert same(Interactions.from_frame(TABLE.to_reader(max_chunksize=2)), expected)
    pq.write_table(TABLE, tmp_path / "a.parquet")
    assert same(Interactions.from_frame(pyarrow.dataset.dataset(tmp_path)), expected)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_short_batches_are_joined(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROWS", rows)
    singles = [TABLE.slice(at, 1) for at in range(len(TABLE))]
    coded = [one.set_column(1, "item_id", one["item_id"].dictionary_encode()) for one in singles]
    batches = [batch for one in coded for batch in one.to_batches()]  # a dictionary each
    reader = pa.RecordBatchReader.from_batches(coded[0].schema, batches)
    blocks = as_source(reader).blocks(["item_id"])
    assert max(len(block.columns["item_id"]) for block in blocks) == min(rows, len(TABLE))
    for some in (batches, [batch.slice(0, 0) for batch in batches[:2]] + batches):
        reader = pa.RecordBatchReader.from_batches(coded[0].schema, some)
        assert same(Interactions.from_frame(reader), Interactions.from_frame(FRAME))


def test_polars_frames_are_tables(tmp_path: Path) -> None:
    frame, expected = polars.from_arrow(TABLE), Interactions.from_frame(FRAME)
    assert isinstance(frame, polars.DataFrame)
    assert same(Interactions.from_frame(frame), expected)
    for column, kind in (("item_id", polars.Categorical), ("user_id", polars.Int16)):
        other = frame.with_columns(polars.col(column).cast(kind))
        assert same(Interactions.from_frame(other), expected)
    frame.write_parquet(tmp_path / "plays.parquet")
    assert same(recae.read_parquet(tmp_path / "plays.parquet"), expected)
    assert same(Interactions.from_frame(frame.lazy()), expected)
    renamed = frame.lazy().rename({"user_id": "who"}).filter(polars.col("weight") > 0)
    assert same(Interactions.from_frame(renamed, user="who"), expected)
    with pytest.raises(DataError, match="LazyFrame .*nowhere"):
        Interactions.from_frame(frame.lazy().select("nowhere", "item_id"))


def test_columns_that_are_not_needed_do_no_harm() -> None:
    frame = polars.from_arrow(TABLE)
    assert isinstance(frame, polars.DataFrame)
    if not hasattr(polars, "Int128"):
        pytest.skip("this polars has only types that Arrow has, too")
    wide = frame.with_columns(note=polars.lit(1, dtype=polars.Int128))  # Arrow has no such type
    for table in (wide, wide.lazy()):
        assert same(Interactions.from_frame(table), Interactions.from_frame(FRAME))
    with pytest.raises(DataError, match="DataFrame .*pli128"):
        Interactions.from_frame(wide, weight="note")
    asked = []

    class Selects(Interchange):
        """Notes the columns that it is asked for."""

        def __dataframe__(self, **options: object) -> object:
            return self

        def column_names(self) -> list[str]:
            return self.table.column_names

        def select_columns_by_name(self, names: list[str]) -> object:
            asked.append(list(names))
            return self.table.select(names).__dataframe__()

    Interactions.from_frame(Selects(TABLE), weight=None, time=None)
    assert asked == [["user_id", "item_id"]]


def test_labels_of_a_frame_may_be_numbers_or_tuples() -> None:
    pairs = pd.DataFrame([[1, 2, 5], [3, 4, 1]])
    data = Interactions.from_frame(pairs, user=0, item=1, weight=2)
    assert data.to_frame().to_numpy().tolist() == [[1, 2, 5], [3, 4, 1]]
    assert same(Interactions.from_frame(pairs, user="0", item="1", weight="2"), data)
    deep = pairs.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]), axis=1)
    assert same(Interactions.from_frame(deep, user=("a", 1), item=("a", 2), weight=("b", 1)), data)
    with pytest.raises(DataError, match="'0' .*several"):
        Interactions.from_frame(pairs.set_axis([0, "0", 2], axis=1), user=0, item=2)


@pytest.mark.parametrize("kind", [pa.decimal128(5, 2), pa.decimal256(40, 2)])
def test_decimals_are_weights(tmp_path: Path, kind: pa.DataType) -> None:
    weights = pa.array([1.5, 2.25, 0.5, 4]).cast(kind)
    table = pa.table({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 2], "weight": weights})
    pq.write_table(table, tmp_path / "a.parquet")
    for data in (Interactions.from_frame(table), recae.read_parquet(tmp_path / "a.parquet")):
        assert data.matrix.toarray().tolist() == [[1.5, 2.25], [0.5, 4]]


def test_models_take_tables_of_every_kind() -> None:
    model = recae.Popularity().fit(FRAME)
    for table in (TABLE, Stream(TABLE)):
        other = recae.Popularity().fit(table)
        assert other.recommend(history=table).equals(model.recommend(history=FRAME))


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_matrix])
def test_models_take_sparse_matrices_of_every_kind(kind: type) -> None:
    dense = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1.0]])
    model = recae.EASE(l2=1.0).fit(kind(dense))
    expected = recae.EASE(l2=1.0).fit(sp.csr_matrix(dense)).recommend(k=2)
    assert model.recommend(k=2, history=kind(dense)).equals(expected)


@pytest.mark.parametrize("value", [[(1, 2)], {"user_id": [1]}, "plays", 7, None, FRAME["user_id"]])
def test_what_is_no_table_is_named(value: object) -> None:
    with pytest.raises(DataError, match=f"table .*, not {type(value).__name__}"):
        Interactions.from_frame(value)


def test_a_library_that_cannot_hand_over_is_named() -> None:
    class Broken:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise RuntimeError("the engine is gone")

    with pytest.raises(DataError, match="Broken .*Arrow.*: the engine"):
        Interactions.from_frame(Broken())


UUIDS = [uuid.UUID(int=5), uuid.UUID(int=1), uuid.UUID(int=5)]
DAYS = [datetime.date(2026, 11, 23), datetime.date(2024, 2, 29), datetime.date(2026, 11, 23)]


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        (pa.array([i.bytes for i in UUIDS], pa.binary(16)), [str(i) for i in UUIDS]),
        (pa.array(DAYS), [day.isoformat() for day in DAYS]),
        (pa.array(DAYS).cast(pa.timestamp("us")), [day.isoformat() for day in DAYS]),
        (pa.array(DAYS).cast(pa.timestamp("s")).dictionary_encode(), [str(day) for day in DAYS]),
        (pd.Series(UUIDS), [str(i) for i in UUIDS]),
        (pd.Series(DAYS), [day.isoformat() for day in DAYS]),
        (pd.to_datetime(pd.Series(DAYS)), [day.isoformat() for day in DAYS]),
        (pd.Series(DAYS).astype("category"), [day.isoformat() for day in DAYS]),
    ],
)
def test_uuids_and_dates_become_text(ids: object, texts: list[str]) -> None:
    columns = {"user_id": ids, "item_id": ["a", "a", "b"]}
    frame = pa.table(columns) if isinstance(ids, pa.Array) else pd.DataFrame(columns)
    data = Interactions.from_frame(frame)
    assert data.users.ids.tolist() == sorted(set(texts))
    assert data.users.decode(data.users.encode(texts)).tolist() == texts
    assert data.nnz == 3


def test_a_uuid_finds_its_user_again() -> None:
    frame = pd.DataFrame({"user_id": UUIDS, "item_id": [1, 2, 3]})
    model = recae.Popularity().fit(frame)
    top = model.recommend([UUIDS[1]], k=1)
    assert top["user_id"].tolist() == [str(UUIDS[1])]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None, 2]), "user ids .*(missing|floats)"),
        (pa.array(["a", None, "b"]), "user ids .*missing in 1 of 3 .* row 1"),
        (pa.array([1.5, 2, 3]), r"user ids .*floats.* 1\.5 at row 0 .*1 of 3"),
        (pa.array([True, False, True]), "user ids .*integers, text.*, not bool"),
        (pa.array([b"a", b"b", b"c"]), r"found b'a' \(bytes\) at row 0"),
        (pa.array([[1], [2], [3]]), "user ids .*(found|not) "),
        (pa.array([2**64 - 1, 1, 2], pa.uint64()), "64 bits.* 18446744073709551615"),
        (pa.nulls(3), "user ids .*missing in 3 of 3 "),
        (pa.array([b"a", b"\xff", b"c"]).view(pa.string()), r"xff"),
        (pa.array([b"a", b"\xff", b"\xff"]).view(pa.string()).dictionary_encode(), r"xff"),
    ],
)
def test_bad_arrow_ids_are_named_by_row(column: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(pa.table({"user_id": column, "item_id": [1, 2, 3]}))


rows = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(1, 5), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=30, derandomize=True, database=None, deadline=None)
@given(rows, st.data())
@pytest.mark.parametrize("duplicates", ["last", "first", "sum", "max"])
def test_blocks_and_files_change_nothing(tmp_path_factory, duplicates, records, data) -> None:
    frame = pd.DataFrame(records, columns=["user_id", "item_id", "weight", "timestamp"])
    frame["user_id"] += data.draw(st.sampled_from([0, 10**12]))
    if data.draw(st.booleans()):
        frame["item_id"] = frame["item_id"].map("i{}".format)
    frame = frame.drop(columns=data.draw(st.sampled_from([[], ["weight"], ["timestamp"]])))
    least = data.draw(st.sampled_from(sorted(frame["weight"]))) if "weight" in frame else None
    least = data.draw(st.sampled_from([None, least]))
    expected = naive(frame, duplicates, least)
    if not expected:  # only rows that others replace reach it
        with pytest.raises(DataError) as caught:
            Interactions.from_frame(frame, duplicates=duplicates, min_weight=least)
        assert caught.value.parameter == "min_weight"
        return
    folder = tmp_path_factory.mktemp("plays")
    cut = data.draw(st.integers(0, len(frame)))
    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    for name, part in (("a", frame[:cut]), ("b", frame[cut:])):
        table = pa.Table.from_pandas(part, schema=schema, preserve_index=False)
        group = data.draw(st.integers(1, 9))
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=group)
    options = {"duplicates": duplicates, "min_weight": least}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", 3)
        from_files = recae.read_parquet(folder, **options)
    from_frame = Interactions.from_frame(frame, **options)
    assert same(from_files, from_frame)
    if least is not None:
        later = Interactions.from_frame(frame, duplicates=duplicates).filter(min_weight=least)
        assert same(from_frame, later)
    assert from_frame.to_frame().to_numpy(dtype=object).tolist() == expected


def naive(frame: pd.DataFrame, duplicates: str, least: float | None) -> list[list[object]]:
    """The rule of the docstring, row by row."""
    timed = "timestamp" in frame
    found: dict[tuple[object, object], tuple[float, int]] = {}
    in_time = frame.sort_values("timestamp", kind="stable") if timed else frame
    for row in in_time.itertuples():
        weight, time = getattr(row, "weight", 1), getattr(row, "timestamp", 0)
        pair = (row.user_id, row.item_id)
        before = found.get(pair)
        if before is None or duplicates == "last":
            found[pair] = (weight, time)
        elif duplicates == "sum":
            found[pair] = (before[0] + weight, time)
        elif duplicates == "max" and weight >= before[0]:
            found[pair] = (weight, time)
    kept = [(pair, w, t) for pair, (w, t) in sorted(found.items()) if least is None or w >= least]
    return [[*pair, w, *([t] if timed else [])] for pair, w, t in kept]


def test_a_pandas_frame_is_one_block_and_is_not_changed() -> None:
    before = FRAME.copy()
    (block,) = as_source(FRAME).blocks(["user_id"])
    assert len(block.columns["user_id"]) == 6
    Interactions.from_frame(FRAME)
    pd.testing.assert_frame_equal(FRAME, before)


def test_a_category_of_polars_may_be_missing() -> None:
    users = polars.Series(["a", None, "b"], dtype=polars.Categorical)
    frame = polars.DataFrame({"user_id": users, "item_id": [1, 2, 3]})
    with pytest.raises(DataError, match="1 of 3 rows.* row 1"):
        Interactions.from_frame(frame)
    with pytest.warns(recae.RecaeWarning, match="1 of 3"):
        found = Interactions.from_frame(frame, on_bad_rows="drop")
    assert found.to_frame()["user_id"].tolist() == ["a", "b"]


def test_a_signalling_nan_is_no_weight() -> None:
    weights = pd.Series([decimal.Decimal("sNaN"), 1], dtype=object)
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "weight": weights})
    with pytest.raises(DataError, match="'weight'.*sNaN"):
        Interactions.from_frame(frame)
