"""Text files as blocks of typed columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from recae.data.tables import table
from recae.data.tables.entries import Block
from recae.data.tables.paths import file_errors, label
from recae.system.progress import bar

Texts = tuple[Path, int, dict[str, pa.Array]]
Kinds = list[pa.DataType | None]

KEPT_BYTES = 1 << 28
"""Columns of less text than this are held in memory, so that their files are read only once."""

_NUMBERS = (pa.int64(), pa.float64())
_DATES = (pa.timestamp("ns"), pa.timestamp("ns", tz="UTC"))


class TextSource:
    """Text files with a header line each. The type of a column is that of all its fields.

    Every column is taken for integers first; where a field is none, for floats, a column of times
    then for dates, and text is what everything can be. Larger files are read a second time then.
    """

    def __init__(
        self, files: list[Path], columns: table.Columns, sep: str, progress: bool | None = None
    ) -> None:
        # Quoted fields may hold line ends: titles and reviews do.
        self.layout = csv.ParseOptions(delimiter=sep, newlines_in_values=True)
        self.files, self.columns, self.label = files, columns, label(files)
        self.progress = progress
        self.rows: int | None = None
        self.names: list[str] = []
        self.used = columns
        for number, file in enumerate(files):
            with file_errors(file), csv.open_csv(file, parse_options=self.layout) as header:
                names = list(header.schema.names)
                used = table.needed_columns(names, columns)
                self.names, self.used = (names, used) if not number else (self.names, self.used)
                table.check_same_columns(used, self.used)

    def blocks(self, columns: list[str]) -> Iterator[Block]:
        """Blocks of a few megabytes of text."""
        kinds, kept = self._kinds(columns)
        for file, row, texts in self._texts(columns) if kept is None else kept:
            yield Block({n: _cast(texts[n], kinds[n][0]) for n in columns}, row, str(file))

    def _kinds(self, columns: list[str]) -> tuple[dict[str, Kinds], list[Texts] | None]:
        """For each column the types that are left to it, the first being its type; and all the
        blocks read for that, unless they are large."""
        kinds: dict[str, Kinds] = {
            name: [*_NUMBERS, *(_DATES if name == self.columns[3] else ()), None]
            for name in columns
        }
        kept: list[Texts] | None = []
        size = 0
        with bar(None, "finding the types", "row", self.progress) as shown:
            for file, row, texts in self._texts(columns):
                for name, left in kinds.items():
                    while not _fits(texts[name], left[0]):
                        del left[0]
                size += sum(column.nbytes for column in texts.values())
                kept = None if kept is None or size > KEPT_BYTES else [*kept, (file, row, texts)]
                shown.update(len(texts[columns[0]]))
        return kinds, kept

    def _texts(self, columns: list[str]) -> Iterator[Texts]:
        """File, number of the first row in it, and the columns as text, block by block."""
        convert = csv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pa.string()),
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
        )
        for file in self.files:
            row = 0
            with (
                file_errors(file),
                csv.open_csv(
                    file, parse_options=self.layout, convert_options=convert, read_options=_READ
                ) as reader,
            ):
                for batch in reader:
                    yield file, row, {name: batch.column(name) for name in columns}
                    row += len(batch)


_READ = csv.ReadOptions(block_size=1 << 24)


def _fits(texts: pa.Array, kind: pa.DataType | None) -> bool:
    try:
        _cast(texts, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _cast(texts: pa.Array, kind: pa.DataType | None) -> Any:
    return texts if kind is None else pc.cast(pc.utf8_trim_whitespace(texts), kind)
