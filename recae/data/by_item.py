"""The layout of the Netflix Prize: ratings listed below their movie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from recae.data.archives import BLOCK_BYTES, Layout, files_of, opened
from recae.data.entries import Block
from recae.errors import DataError

_KINDS = {"first": pa.string(), "weight": pa.float64(), "date": pa.timestamp("ns")}


class ByItemSource:
    """Lines `user,weight,date` below a line `item:` for each item."""

    names = ["user_id", "item_id", "weight", "timestamp"]
    rows: int | None = None

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout, self.label = folder, layout, f"{folder}: "

    def blocks(self, columns: list[str]) -> Iterator[Block]:
        """Blocks of a few megabytes of text."""
        for file in files_of(self.layout):
            with opened(self.folder, self.layout, file) as stream:
                row, item, rest, more = 0, None, b"", True
                while more:
                    text = stream.read(BLOCK_BYTES)
                    more = bool(text)
                    lines, end, rest = (rest + (text or b"\n")).rpartition(b"\n")
                    if not lines.strip():
                        continue
                    some, item = _rows(lines + end, item)
                    yield Block({n: some[n] for n in columns}, row, str(self.folder / file))
                    row += len(some["user_id"])


def _rows(text: bytes, item: int | None) -> tuple[dict[str, pa.Array], int]:
    """The rows of some lines, and the last item; the first rows belong to `item`."""
    text = text.replace(b"\r\n", b"\n").replace(b":\n", b":,,\n")  # as many fields in every line
    batch = (
        csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=list(_KINDS), use_threads=False),
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=csv.ConvertOptions(column_types=_KINDS, strings_can_be_null=True),
        )
        .combine_chunks()
        .to_batches()[0]
    )
    if batch.column("first").null_count:
        raise DataError("a line names no user")
    heads = pc.ends_with(batch.column("first"), ":")
    items = pc.cast(pc.utf8_rtrim(batch.column("first").filter(heads), ":"), pa.int64()).to_numpy()
    group = np.cumsum(heads.to_numpy(zero_copy_only=False))
    if item is None and group[0] == 0:
        raise DataError("the first line names no item")
    known = np.append(-1 if item is None else item, items)
    is_row = pc.invert(heads)
    rows = batch.filter(is_row)
    return {
        "user_id": pc.cast(rows.column("first"), pa.int64()),
        "item_id": pa.array(known[group[is_row.to_numpy(zero_copy_only=False)]]),
        "weight": rows.column("weight"),
        "timestamp": rows.column("date"),
    }, int(known[-1])
