"""Reads delimited text: rows in blocks, the type of each column, and every line that is no row."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recae.data.tables.columns import Columns, Headers
from recae.data.tables.dialect import SEPARATORS, Layout, TextFormat, layout_of, strip_type
from recae.data.tables.faults import BadRows, Fault
from recae.data.tables.lines import Bad, Rows, Splitter
from recae.data.tables.sources import Block
from recae.data.tables.streams import BLOCK_BYTES, Input, first_lines, pieces
from recae.data.tables.typed import Column, Generic, Ids, Times, Weights, constant
from recae.errors import DataError
from recae.system.progress import bar

KEPT_BYTES = 1 << 28
"""Columns of less than this are held in memory, so that their files are read only once."""


SMALL_BYTES = 1 << 16
"""Text of which no thread is started."""


@dataclass
class Part:
    """Some rows of a file: columns by name, and the lines that are rows and that are none."""

    file: str
    columns: dict[str, Any]
    rows: Rows

    def place(self, row: int) -> str:
        """Where a row stands."""
        return f"line {self.rows.lines[row]}"


class TextSource:
    """Text files, one after the other. The type of a column is that of all its fields.

    files: paths, or open files, which are read from where they stand. columns: those of users,
    items, weights and times, where that is what will be read; of other columns the type is that
    into which all fields fit: integers, floats or text. drop: rows with bad values are left out, so
    that ids are integers where most are. texts: columns that are text in any case.
    """

    rows: int | None = None
    chunk: int | None = None
    """Bytes of text of a block; None for BLOCK_BYTES of streams."""
    kept = KEPT_BYTES
    """Bytes of a table that is kept between the two times that it is read."""

    def __init__(
        self,
        files: list[Any],
        progress: bool | None = None,
        form: TextFormat | None = None,
        columns: Columns | None = None,
        *,
        drop: bool = False,
        texts: Collection[str] = (),
    ) -> None:
        self.form = TextFormat() if form is None else form
        self.progress, self.columns, self.drop, self.texts = progress, columns, drop, texts
        self.inputs = [Input(file, self.form.encoding) for file in files]
        first = self.inputs[0].name
        self.label = f"{first}: " if len(files) == 1 else f"{first} and {len(files) - 1} more: "
        self.small = sum(given.size for given in self.inputs) <= SMALL_BYTES
        self.notes: list[str] = []
        self.headers: Headers = []
        self.layouts: list[Layout] = []
        wanted = [name for name in columns or () if name is not None]
        for given in self.inputs:
            with given.opened() as stream:
                layout = layout_of(first_lines(stream), self.form, wanted)
                _check_names(layout, columns, self.form)
            self.layouts.append(layout)
            more = [name for name in given.partitions if name not in layout.names]
            self.headers.append((f"{given.name}: ", _asked(layout.names, wanted) + more))

    def limit(self, columns: list[str], memory: int) -> None:
        """Makes the blocks so small that reading them takes about this memory, in bytes."""
        self.chunk, self.kept = min(max(memory // 16, 1 << 18), BLOCK_BYTES), memory // 4

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """Blocks of a few megabytes of text; the rows of faults are left out and counted."""
        typed = self._typed(columns)
        kept: list[Part] | None = []
        size = 0
        with bar(None, "finding the types", "row", self.progress) as shown:
            for part in self._parts(columns, typed):
                for name, column in typed.items():
                    column.see(part.columns[name], part.rows.lines, part.file)
                    size += part.columns[name].nbytes
                kept = None if kept is None or size > self.kept else [*kept, part]
                shown.update(len(part.rows.lines))
        for column in typed.values():
            column.decide(self.drop)
        self.notes = [column.note for column in typed.values() if column.note]
        if kept is not None and any(column.must_reread for column in typed.values()):
            kept = None
        for part in self._parts(columns, typed) if kept is None else kept:
            yield self._block(part, columns, typed)

    def _typed(self, columns: list[str]) -> dict[str, Column]:
        """A fresh reader of each column by name, of the type that its role needs."""
        form = self.form
        if self.columns is None:
            return {name: Generic(name, text=name in self.texts) for name in columns}
        user, item, weight, time = self.columns
        kinds = dict(zip((user, item), form.kinds_of_ids, strict=True))
        made: dict[str, Column] = {
            name: Ids(name, what, kinds[name])
            for name, what in ((user, "user"), (item, "item"))
            if name in columns
        }
        if weight in columns:
            made[weight] = Weights(weight, form.decimal)
        if time in columns:
            made[time] = Times(time, form.time_format)
        return {name: made.get(name) or Generic(name) for name in columns}

    def _block(self, part: Part, columns: list[str], typed: dict[str, Column]) -> Block:
        """The columns in their types, without the rows that have a fault."""
        lines, faults = part.rows.lines, []
        arrays: dict[str, Any] = {}
        bad = np.zeros(len(lines), dtype=np.bool_)
        converted = {name: typed[name].convert(part.columns[name]) for name in columns}
        some_bad = any(found for _, found in converted.values())
        for name, (array, found) in converted.items():
            arrays[name] = array
            for fault in [*found, *(typed[name].missing(array, found) if some_bad else ())]:
                role = typed[name].role
                faults.append(fault.at(part.place, role, part.file))
                bad |= fault.mask
        for line in part.rows.bad:
            faults.append(
                Fault(line.what, 1, f"line {line.line}", line.value, line.remedy, None, part.file)
            )
        dropped = int(bad.sum()) + len(part.rows.bad)
        if bad.any():
            good = np.flatnonzero(~bad)
            arrays = {name: array.take(pa.array(good)) for name, array in arrays.items()}
            lines = np.asarray(lines)[good]
        block = Block(arrays, 0, part.file, lines, tuple(faults), dropped)
        if self.columns is None and faults:  # a table about items has no row to spare
            report = BadRows()
            for known in faults:
                report.add(known)
            report.total, report.bad = len(lines) + dropped, dropped
            raise report.error(f"{part.file}: ", rows=False)
        return block

    def _parts(self, columns: list[str], typed: dict[str, Column]) -> Iterator[Part]:
        """All rows, block by block; columns in the type that `typed` expects, or else as text."""
        for given, layout in zip(self.inputs, self.layouts, strict=True):
            own = [name for name in columns if _place(layout.names, name) is not None]
            places = tuple(_place(layout.names, name) or 0 for name in own)
            splitter = Splitter(layout.sep, len(layout.names), places, layout.quotes)
            every = [other.partitions for other in self.inputs]
            with given.opened() as stream:
                for rows in _rows(
                    stream, layout, splitter, [typed[name] for name in own], self.chunk
                ):
                    _drop_headers(rows, layout, places)
                    some = dict(zip(own, rows.columns, strict=True))
                    for name in columns:
                        if name not in some:
                            values = [known.get(name) for known in every]
                            some[name] = constant(
                                given.partitions[name], values, len(rows.lines), text=True
                            )
                    yield Part(given.name, some, rows)


def _rows(
    stream: IO[bytes], layout: Layout, splitter: Splitter, typed: list[Column], chunk: int | None
) -> Iterator[Rows]:
    """The rows of a file, block by block: split by Arrow where all fields have the expected types,
    else as text, else line by line."""
    line, carry = layout.line, b""
    for block, last in pieces(stream, layout.start, chunk):
        block = carry + block
        carry = b""
        rows = None
        if b"0x" not in block and b"0X" not in block:  # Arrow reads those as numbers
            types = [column.type for column in typed]
            decimal = "," if any(column.decimal == "," for column in typed) else "."
            rows = splitter.fast(block, line, types, decimal)
        if rows is None:
            rows = splitter.fast(block, line, [pa.string()] * len(typed))
        if rows is not None:
            line += block.count(b"\n")
        else:
            rows, carry, line = splitter.slow(block, line, last)
        yield rows
    if carry:
        yield splitter.slow(carry, line, True)[0]


def _drop_headers(rows: Rows, layout: Layout, places: tuple[int, ...]) -> None:
    """Takes out rows that repeat the header; spaces and byte order marks, which files that were
    joined leave within, do not count."""
    if layout.header is None or not all(pa.types.is_string(c.type) for c in rows.columns):
        return
    names = [layout.header[place].strip() for place in places]
    same: Any = None
    for column, name in zip(rows.columns, names, strict=True):
        equal = pc.fill_null(pc.match_substring(column, name), False)
        if pc.any(equal).as_py():  # which are few: only then the slow comparison
            equal = pc.fill_null(pc.equal(pc.utf8_trim(column, " \t\ufeff"), name), False)
        same = equal if same is None else pc.and_(same, equal)
        if not pc.any(same).as_py():
            return
    mask = same.to_numpy(zero_copy_only=False)
    lines = np.asarray(rows.lines)
    text = layout.sep.decode().join(layout.header)
    what = "the header line is repeated"
    rows.bad += [Bad(what, int(line), text, "keep the first") for line in lines[mask]]
    rows.columns = [column.filter(pa.array(~mask)) for column in rows.columns]
    rows.lines = lines[~mask]


def _check_names(layout: Layout, columns: Columns | None, form: TextFormat) -> None:
    """Raises DataError where none of the columns is there and the layout explains it."""
    names = set(layout.names)
    if columns is None or names & {strip_type(name) for name in columns if name is not None}:
        return
    shown = ", ".join(layout.names)
    if not form.header:
        raise DataError(
            f"columns of a file without a header line are numbers, here {shown}: name them as in "
            "user=0, item=1",
            parameter="user",
            value=columns[0],
        )
    others = [sep for sep in SEPARATORS if sep in shown]
    if len(names) == 1 and (others or " " in shown):
        sep = others[0] if others else " "
        raise DataError(
            f"the only column is {shown!r}: is the separator {sep!r}? Then pass sep={sep!r}",
            parameter="sep",
            value=form.sep,
        )
    if any(re.fullmatch(r"[+-]?[0-9]+([.,][0-9]+)?", name) for name in names):
        raise DataError(
            f"the first line looks like a row, not like names ({shown}): if there is no header "
            "line, pass header=False, user=0, item=1",
            parameter="header",
            value=True,
        )


def _asked(names: list[str], wanted: list[str]) -> list[str]:
    """The names, as the caller writes them where they name a type (`user_id:token`)."""
    asked = {strip_type(name): name for name in wanted}
    return [name if name in wanted else asked.get(name, name) for name in names]


def _place(names: list[str], name: str) -> int | None:
    for known in (name, strip_type(name)):
        if known in names:
            return names.index(known)
    return None
