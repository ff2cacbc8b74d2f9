"""Reads the tables of data sets as their cards describe them, without unpacking archives.

A card has for each table: `file` (or several, one after the other), `member` (in an archive),
`separator` (one character, or the same twice), `encoding`, `quoted`, and `columns`. A list in
`columns` names the fields of a table without a header line, with "" for a field to skip. A table in
`columns` maps our names to those of the header line. A published part without `columns` has a line
of items for each user. Our names are user_id, item_id, weight and timestamp; `ids = "text"` if the
first two are not integers. With `rest`, the last field of a line may contain the separator.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from recae.data.tables.columns import Headers
from recae.data.tables.sources import Block
from recae.errors import DataError

Layout = dict[str, Any]
"""The layout of a table from its card."""

BLOCK_BYTES = 1 << 24
"""Text read at a time."""


@contextmanager
def opened(folder: Path, layout: Layout, file: str) -> Iterator[IO[bytes]]:
    """A file of a set, or the member of it that the layout names, to read.

    Any error while reading becomes a DataError that names the file and the member.
    """
    path, member = folder / file, layout.get("member")
    place = f"{path}" if member is None else f"{member} in {path}"
    try:
        with ExitStack() as stack:
            try:
                stream = _open(stack, path, member)
            except KeyError:
                raise DataError(f"there is no {place}: the archive differs from its card") from None
            yield stream
    except DataError as error:
        raise error if place in str(error) else DataError(f"{place}: {error}") from None
    except (
        *(OSError, EOFError, UnicodeDecodeError, ValueError, NotImplementedError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error, tarfile.TarError, pa.ArrowException),
    ) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{place} is damaged or of another format: {reason}") from None


def _open(stack: ExitStack, path: Path, member: str | None) -> IO[bytes]:
    if member is None:
        return stack.enter_context(open(path, "rb"))
    if zipfile.is_zipfile(path):
        return stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open(member))
    archive = stack.enter_context(tarfile.open(path))
    found = archive.extractfile(member)
    if found is None:
        raise KeyError(member)
    return stack.enter_context(found)


def files_of(layout: Layout) -> list[str]:
    """The names of the files that hold a table."""
    file = layout["file"]
    return [file] if isinstance(file, str) else list(file)


class ArchiveSource:
    """The rows of a delimited table, a block at a time."""

    rows: int | None = None

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout, self.label = folder, layout, f"{folder}: "
        self.headers: Headers = [(self.label, [name for name in layout["columns"] if name])]

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """Blocks of a few megabytes of text; rows are counted from 0 in each file."""
        for file in files_of(self.layout):
            row = 0
            with opened(self.folder, self.layout, file) as stream:
                for some in self._tables(stream, columns):
                    yield Block(some, row, str(self.folder / file))
                    row += len(some[columns[0]])

    def _tables(self, stream: IO[bytes], columns: list[str]) -> Iterator[dict[str, pa.Array]]:
        """Blocks of columns from one text file, by Arrow. A separator of two characters is read as
        two separators with an empty field between them."""
        names, theirs = _field_names(self.layout), _theirs(self.layout)
        separator = self.layout["separator"]
        if names is not None and len(separator) > 1:
            # Arrow knows separators of one character: two of them enclose a field without text.
            names = [name for field in names for name in (field, f"_{field}")][:-1]
        wanted = {name: theirs[name] for name in columns}
        ids = pa.string() if self.layout.get("ids") == "text" else pa.int64()
        types = {"user_id": ids, "item_id": ids, "weight": pa.float64(), "timestamp": pa.int64()}
        reader = csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                block_size=BLOCK_BYTES, column_names=names, encoding=self.layout["encoding"]
            ),
            parse_options=csv.ParseOptions(
                delimiter=separator[0], quote_char='"' if self.layout.get("quoted") else False
            ),
            convert_options=csv.ConvertOptions(
                include_columns=list(wanted.values()),
                column_types={theirs[name]: types[name] for name in columns},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield {name: batch.column(their) for name, their in wanted.items()}


def read_pairs(folder: Path, layout: Layout) -> pd.DataFrame:
    """A delimited table of pairs as a frame of user_id and item_id, in their order."""
    names = ["user_id", "item_id"]
    blocks = ArchiveSource(folder, layout).blocks(names)
    return pd.concat(
        [
            pd.DataFrame({name: block.columns[name].to_numpy() for name in names})
            for block in blocks
        ],
        ignore_index=True,
    )


def read_lists(folder: Path, layout: Layout) -> pd.DataFrame:
    """Lines `user item item ...` as a frame of user_id and item_id, in their order."""
    (file,) = files_of(layout)
    with opened(folder, layout, file) as stream:
        lines = pc.ascii_trim_whitespace(
            pa.array(stream.read().removeprefix(BOM_UTF8).split(b"\n")).cast(pa.string())
        )
        ids = pc.ascii_split_whitespace(lines.filter(pc.not_equal(lines, "")))
        lengths = pc.list_value_length(ids).to_numpy()
        flat = pc.cast(pc.list_flatten(ids), pa.int64()).to_numpy()
        firsts = np.cumsum(lengths) - lengths
        return pd.DataFrame(
            {
                "user_id": np.repeat(flat[firsts], lengths - 1),
                "item_id": np.delete(flat, firsts),
            }
        )


def read_items(folder: Path, layout: Layout) -> pd.DataFrame:
    """A table of items, indexed by item_id; all other columns are text."""
    (file,) = files_of(layout)
    names, theirs = _field_names(layout), _theirs(layout)
    separator = layout["separator"]
    with opened(folder, layout, file) as stream:
        content = stream.read().removeprefix(BOM_UTF8)
        text = content.decode(layout["encoding"], "replace").replace("\r\n", "\n")
        if not text.strip():
            raise DataError("the table has no rows")
        if layout.get("quoted"):
            frame = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                names=names,
                header="infer" if names is None else None,
                dtype=str,
                keep_default_na=False,
            )
        else:
            lines = pd.Series([line for line in text.split("\n") if line], dtype=object)
            most = len(layout["columns"]) - 1 if layout.get("rest") else -1
            fields = lines.str.split(separator, n=most, expand=True, regex=False)
            if names is None:
                names, fields = fields.iloc[0].tolist(), fields.iloc[1:]
            frame = fields.set_axis([*names, *range(len(names), fields.shape[1])], axis=1)
        absent = [name for name in theirs.values() if name not in frame]
        if absent:
            raise DataError(f"there is no column {absent[0]!r}; columns: {list(frame)}")
        frame = frame[list(theirs.values())].set_axis(list(theirs), axis=1)
        if layout.get("ids") != "text":
            frame["item_id"] = frame["item_id"].astype(np.int64)
        return frame.set_index("item_id")


def _field_names(layout: Layout) -> list[str] | None:
    """Names for the fields of a line, or None where the file has a header line."""
    columns = layout["columns"]
    if isinstance(columns, dict):
        return None
    return [name or f"left out {at}" for at, name in enumerate(columns)]


def _theirs(layout: Layout) -> dict[str, str]:
    """Our names of the columns that are read -> those in the file."""
    columns = layout["columns"]
    return dict(columns) if isinstance(columns, dict) else {name: name for name in columns if name}


_KINDS = {"first": pa.string(), "weight": pa.float64(), "date": pa.timestamp("ns")}


class ByItemSource:
    """Lines `user,weight,date` below a line `item:` for each item."""

    rows: int | None = None

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout, self.label = folder, layout, f"{folder}: "
        self.headers: Headers = [(self.label, ["user_id", "item_id", "weight", "timestamp"])]

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
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
