"""Reads files that may be damaged or hostile: sizes are checked before memory is taken."""

from __future__ import annotations

import json
import os
import stat
from math import prod
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MOST_JSON = 1 << 25
"""Bytes of a JSON document, at most: 32 MiB."""

MOST_INFLATED = 1000
"""Rows, and bytes once decompressed, for each byte of a Parquet file, at most."""

BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}
"""Bytes of a number, by the names of safetensors."""

NAMES = {"BOOL": "bool", "U8": "uint8", "BF16": "bfloat16"}
WORDS = {"I": "int", "U": "uint", "F": "float"}


def check_file(folder: Path, name: str) -> int:
    """The bytes of a file of a folder. Raises ValueError for a name that leads out of it, also by
    a link, and for what is no file, such as a pipe or a device; OSError where there is none."""
    if name in ("", ".", "..") or Path(name).name != name or any(c in name for c in "/\\:\0"):
        raise ValueError(f"{name!r} is not the name of a file in this folder")
    path = folder / name
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise ValueError(f"{name} is missing") from None
    if path.is_symlink() and folder.resolve() not in path.resolve().parents:
        raise ValueError(f"{name} is a link that leads out of the folder")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{name} is not a regular file")
    return found.st_size


def parsed(text: str | bytes) -> Any:
    """The value of a JSON document. Raises ValueError, also for a key that comes twice, and
    RecursionError for one that is nested too deeply."""
    return json.loads(text, object_pairs_hook=_distinct)


def read_text(folder: Path, name: str) -> str:
    """A text of at most MOST_JSON bytes in a folder. Raises ValueError and OSError."""
    size = check_file(folder, name)
    if size > MOST_JSON:
        raise ValueError(f"{name} has {size:,} bytes; at most {MOST_JSON:,} are read")
    with open(folder / name, "rb") as opened:
        return opened.read(MOST_JSON + 1).decode("utf-8")


def safetensors_forms(path: Path) -> dict[str, list[Any]]:
    """Types and shapes of the arrays of a safetensors file, {name: ["float32", 3, 2]}.

    Reads the header alone: the length of it, its keys, types and shapes, and whether the offsets
    describe exactly the bytes of the file. Raises ValueError and OSError.
    """
    size = path.stat().st_size
    with open(path, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(size - 8, MOST_JSON):
            raise ValueError(
                f"{path.name} has {size:,} bytes, and its header claims {length:,} of them; at "
                f"most {MOST_JSON:,} are read"
            )
        header = parsed(opened.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"the header of {path.name} is no table of arrays")
    forms, spans = {}, []
    for name, about in header.items():
        if name == "__metadata__":
            continue
        kind, shape, (start, end) = about["dtype"], about["shape"], about["data_offsets"]
        if kind not in BYTES or not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
            raise ValueError(f"{name!r:.100} in {path.name} has an unknown type or shape")
        if end - start != prod(shape) * BYTES[kind]:
            raise ValueError(
                f"{name!r:.100} in {path.name} has {end - start:,} bytes, not those of "
                f"{shape!r:.80}"
            )
        spans.append((start, end))
        word = NAMES.get(kind) or WORDS[kind[0]] + kind[1:]
        forms[name] = [word, *shape]
    at = 0
    for start, end in sorted(spans):
        if start != at:
            raise ValueError(f"the arrays of {path.name} overlap or leave gaps")
        at = end
    if at != size - 8 - length:
        raise ValueError(f"{path.name} is cut short or has bytes beyond its arrays")
    return forms


def check_parquet(path: Path, distinct: str | None = None) -> int:
    """The rows of a small Parquet file, whose contents are not larger than it may well hold.

    distinct: a column that must not repeat values; text that repeats would take memory for every
    repetition. Raises ValueError; and what pyarrow raises for a damaged file.
    """
    size = path.stat().st_size
    file = pq.ParquetFile(path)
    about = file.metadata
    groups = [about.row_group(n) for n in range(about.num_row_groups)]
    inflated = sum(group.total_byte_size for group in groups)
    inflated += sum(
        max(group.column(n).total_uncompressed_size for n in range(group.num_columns))
        for group in groups
        if group.num_columns
    )
    if about.num_rows > MOST_INFLATED * size or inflated > MOST_INFLATED * size:
        raise ValueError(
            f"{path.name} has {size:,} bytes and claims {about.num_rows:,} rows with {inflated:,} "
            f"bytes; at most {MOST_INFLATED} times its size is read"
        )
    if distinct is not None:
        values = pq.ParquetFile(path, read_dictionary=[distinct]).read([distinct])[distinct]
        for chunk in values.chunks:
            words = getattr(chunk, "dictionary", chunk)
            if len(words) < len(chunk):
                raise ValueError(f"{distinct} of {path.name} holds values that are repeated")
    return int(about.num_rows)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.100} comes twice")
    return found
