"""Rows that cannot be used: one report of all faults, or a warning with counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from recae import DataError, RecaeWarning
from recae.errors import ConfigError

READ = recae.Interactions.from_frame


def frame(**columns: Any) -> pd.DataFrame:
    """Four valid rows, with some columns replaced."""
    return pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": [7, 8, 9, 7]} | columns)


@pytest.mark.parametrize(
    ("columns", "role", "value", "words"),
    [
        ({"user_id": [0, 1, 5.5, 2]}, "user", 5.5, "floats.* 5.5 at row 2 .*1 of 4"),
        ({"user_id": [1, None, 2, 3]}, "user", None, "user ids .*missing .*1 of 4.* row 1"),
        ({"item_id": [1, 2, "TOTAL", 3]}, "item", "TOTAL", "'TOTAL' at row 2 .*1 of 4"),
        ({"weight": ["3193", "7", "n/a", "-"]}, "weight", "n/a", "'n/a' at row 2 .*2 of 4"),
        ({"weight": [1, -1, 2, -2]}, "weight", -1, "> 0.* -1 at row 1 .*2 of 4"),
        ({"timestamp": ["2020-01-01", "unknown", "", "2020-01-02"]}, "time", "unknown", "row 1"),
        ({"timestamp": [1, 2.5, 3, 4]}, "time", 2.5, "2.5 at row 1"),
    ],
)
def test_the_first_bad_value_is_named_and_the_others_are_kept(
    columns: dict[str, Any], role: str, value: Any, words: str
) -> None:
    with pytest.raises(DataError, match=words) as error:
        READ(frame(**columns))
    assert error.value.parameter == role
    assert error.value.value == value
    with pytest.warns(RecaeWarning, match=r" of 4 rows"):
        data = READ(frame(**columns), on_bad_rows="drop")
    bad = 2 if words.endswith("2 of 4") or value == "unknown" else 1
    assert data.nnz == 4 - bad
    assert data.users.kind == data.items.kind == "int"


def test_one_report_names_every_fault() -> None:
    table = frame(user_id=[1, None, 3, 4], weight=["1", "2", "n/a", "4"], timestamp=[1, 2, 3, None])
    with pytest.raises(DataError) as error:
        READ(table)
    for part in ("3 of 4", "user ids", "row 1", "'n/a' at row 2", "'timestamp'", "row 3"):
        assert part in str(error.value)
    with pytest.warns(RecaeWarning, match="3 of 4 rows"):
        assert READ(table, on_bad_rows="drop").to_frame().to_numpy().tolist() == [[1, 7, 1, 1]]


def test_integers_beside_missing_ids_do_not_pass_through_floats() -> None:
    table = pa.table({"user_id": pa.array([2**60 + 1, None]), "item_id": [1, 2]})
    with pytest.raises(DataError, match="user ids .*missing .*row 1") as error:
        READ(table)
    assert "float" not in str(error.value)
    with pytest.warns(RecaeWarning, match="1 of 2"):
        assert READ(table, on_bad_rows="drop").users.ids.tolist() == [2**60 + 1]


def test_rows_are_counted_over_blocks() -> None:
    batches = [
        pa.RecordBatch.from_pydict({"user_id": [1, None], "item_id": [k, k]}) for k in range(3)
    ]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    with pytest.raises(DataError, match="user ids .*3 of 6.* row 1"):
        READ(reader)


def test_a_table_without_a_usable_row_is_refused() -> None:
    with pytest.raises(DataError, match="2 of 2"):
        READ(pd.DataFrame({"user_id": [None, None], "item_id": [1, 2]}), on_bad_rows="drop")
    with pytest.raises(ConfigError) as error:
        READ(frame(), on_bad_rows="skip")
    assert error.value.value == "skip"


def test_large_hashes_are_offered_as_text() -> None:
    hashes = np.array([2**63, 1, 2, 3], dtype=np.uint64)
    with pytest.raises(DataError, match=f"64 bits.* {2**63} at row 0 .*str"):
        READ(frame(user_id=hashes))
