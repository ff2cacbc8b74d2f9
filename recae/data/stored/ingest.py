"""Makes a data folder of a table that may be larger than memory, in three passes over disk.

1. The blocks of the table are checked and coded; the coded rows go to disk, and where the ids need
   too much memory, sorted runs of them (`coding`).
2. The ids are sorted, and the rows are divided into parts of consecutive users (`rows`).
3. Each part is sorted and merged in memory, and appended to the arrays of the matrix (`matrix`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from typing import Any

from recae.data.idmap import IdMap
from recae.data.interactions import Interactions
from recae.data.stored.folder import ABOUT, as_stored, merged_by, open_data
from recae.data.stored.passes import Passes
from recae.data.stored.sources import InteractionsSource, own_columns
from recae.data.tables.columns import DEFAULT_TIME, DEFAULT_WEIGHT
from recae.data.tables.dialect import TextFormat
from recae.data.tables.files import IN_FOLDERS, file_source, is_path
from recae.data.tables.paths import file_errors, find_files, is_stream
from recae.data.tables.readers import checked_options, named_columns
from recae.data.tables.sources import Source, as_source
from recae.errors import ConfigError, DataError, check_number, explained
from recae.system.digests import sha256_of_json
from recae.system.files import check_apart, resumable_directory
from recae.system.machine import __version__, free_memory

SHARE = 0.5
"""The share of the free memory that an ingest takes by default."""

LEAST = 1 << 28
"""Bytes of memory that it needs: 256 MiB."""

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@explained
def ingest(
    source: Any,
    folder: str | os.PathLike[str],
    *,
    user: str | int = "user_id",
    item: str | int = "item_id",
    weight: str | int | None = DEFAULT_WEIGHT,
    time: str | int | None = DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    users: IdMap | None = None,
    items: IdMap | None = None,
    on_bad_rows: str = "error",
    sep: str | None = None,
    quoting: bool = True,
    decimal: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    ids: str | tuple[str, str] = "auto",
    time_format: str | None = None,
    memory: int | str | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Interactions:
    """Writes a table of any size into a data folder and opens it, as `open_data` does.

    The result is that of the reader in memory, bit for bit. source: what `read_table` takes (a
    file, a folder, a glob, a list of them, a data folder), a table as `Interactions.from_frame`
    takes it, or Interactions. folder: made when it is complete, beside the others of its parent; it
    then holds 8 bytes for each interaction (16 with times) and the ids. The work needs two to three
    times as much there, in a hidden folder. If the process is killed, the same call for the same
    files goes on after the last complete pass. With other options or a changed file it begins anew,
    and so does the ingest of a table in memory. users and items are those of `from_frame`, and the
    options from `user` to `time_format` those of `read_table`.

    memory: bytes that the work takes at most beside what Python and its libraries hold, or text
    such as "4GB" (10^9) or "4GiB" (2^30); at least 256 MiB, by default half of what is free. A
    single user with very many rows, ids of many hundred bytes, and many million items may need
    more. overwrite: replace a data folder that is there, once the new one is complete.

    Raises DataError as the readers do, also for files that change while they are read; ConfigError
    for an option; StorageError for a folder that is there already or that another process is
    writing or that is read here, for no permission and for a full disk. Nothing is left then, and
    an old folder stays.

    >>> plays = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": [7, 8, 7]})
    >>> recae.ingest(plays, "plays")
    Interactions(2 users x 2 items, 3 interactions, density 75 %)
    >>> recae.open_data("plays").fingerprint() == recae.Interactions.from_frame(plays).fingerprint()
    True
    """
    room = bytes_of(memory)
    form = TextFormat(sep, quoting, decimal, encoding, header, ids, time_format)
    columns, drop = (
        named_columns(user, item, weight, time),
        checked_options(duplicates, on_bad_rows),
    )
    paths = _paths(source) if is_path(source) else []
    check_apart([folder], paths)
    drop_users, drop_items = users is None, items is None
    if (stored := as_stored(source)) is not None:
        duplicates, source, paths = (
            merged_by(stored, duplicates),
            open_data(stored, verify=True),
            [],
        )
    if isinstance(source, Interactions):
        users = source.users if users is None else users
        items = source.items if items is None else items
        columns = own_columns(columns)
    before = _states(paths)
    options: dict[str, Any] = dict(zip(("user", "item", "weight", "time"), columns, strict=True))
    options |= {"duplicates": duplicates, "min_weight": min_weight, "on_bad_rows": on_bad_rows}
    job = None
    if paths and before is not None:
        known = [None if some is None else _digest(some) for some in (users, items)]
        job = sha256_of_json([__version__, before, options, str(form), known])
    with resumable_directory(folder, overwrite=overwrite, marker=ABOUT) as work:
        passes = Passes(work, job, room, progress)
        if not passes.has("rows"):
            table = _source(source, progress, form, columns, drop)
            passes.read(table, columns, duplicates, min_weight, users, items, on_bad_rows)
            _check_unchanged(paths, before)
            passes.keep()
        if not passes.has("parts"):
            passes.divide(users, items)
        passes.finish(duplicates, min_weight, options, drop_users=drop_users, drop_items=drop_items)
    return open_data(folder)


def bytes_of(memory: Any) -> int:
    """Bytes of memory from a number, from text such as "4GB", or (None) a share of what is free.

    Raises ConfigError for anything else and for too few.

    >>> bytes_of("2 GB"), bytes_of("1GiB")
    (2000000000, 1073741824)
    """
    if memory is None:
        return max(int(SHARE * free_memory()), LEAST)
    found = memory
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?|)b?\s*", memory, re.IGNORECASE)
        if match is None:
            raise ConfigError(
                f'memory must be a number of bytes or text such as "4GB", not {memory!r}',
                parameter="memory",
                value=memory,
            )
        found = float(match[1]) * UNITS[match[2].lower()]
    return int(check_number("memory", found, low=LEAST))


def _source(
    source: Any, progress: bool | None, form: TextFormat, columns: Any, drop: bool
) -> Source:
    if isinstance(source, Interactions):
        return InteractionsSource(source)
    if is_path(source):
        return file_source(source, progress, form, columns, drop=drop)
    return as_source(source)


def _digest(ids: IdMap) -> str:
    found = hashlib.sha256()
    for piece in ids.byte_pieces():
        found.update(piece)
    return found.hexdigest()


def _paths(source: Any) -> list[str]:
    """The paths that a source names; none for an open file."""
    if hasattr(source, "read"):
        return []
    return [str(path) for path in ([source] if isinstance(source, str | os.PathLike) else source)]


State = tuple[str, int, int, int]


def _states(paths: Iterable[str]) -> list[State] | None:
    """Name, size, and times of change of the content and of anything of every file; None where one
    can be read only once.

    The content can change and keep its time (`cp --preserve`), but the second time is the system's.
    """
    found = []
    for path in paths:
        if is_stream(path):
            return None
        for file in find_files(path, IN_FOLDERS):
            with file_errors(file):
                about = file.stat()
            found.append((str(file), about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return found


def _check_unchanged(paths: list[str], before: list[State] | None) -> None:
    """Raises DataError if the content of a file is another one than before it was read."""
    if before is None:
        return
    after = _states(paths)
    changed = sorted({state[:3] for state in before} ^ {state[:3] for state in after or ()})
    if not changed:
        return
    raise DataError(
        f"{changed[0][0]} changed while it was read ({len({name for name, *_ in changed})} such "
        "files): start again when nobody writes them"
    )
