"""Opens a finished export: what it says about itself, its rows, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from recae.errors import DataError, RecaeError, explained
from recae.recommend.export.histories import check_digests_file
from recae.recommend.export.manifest import (
    JOB,
    LISTED,
    MANIFEST,
    OWNERS,
    SUCCESS,
    provenance,
    read_manifest,
)
from recae.system.digests import sha256
from recae.system.files import as_path
from recae.system.safely import check_file
from recae.system.threads import in_threads

AGAIN = "delete that part and run the same export again, which makes only that part anew"
READ_ERRORS = (OSError, ValueError, pa.ArrowException)


@explained
def open_export(path: str | Path) -> Export:
    """Opens what `Recommender.export` wrote: a folder of Parquet parts, or one Parquet file.

    Only the manifest, or the footer of the file, is read. Raises DataError for an export that is
    not complete or damaged, and for anything else.

    >>> rows = recae.Popularity().fit(data).export("lists", data, k=2)
    >>> export = recae.open_export("lists")
    >>> export.users, export.rows == rows, export.k
    (5, True, 2)
    """
    where = as_path(path)
    try:
        state = _state(where)
        if where.is_dir():
            return Export(where, _manifest_of_folder(where), state)
        if not where.exists():
            raise DataError(f"there is no export {where}", parameter="path", value=path)
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror}", parameter="path") from error
    return Export(where, _manifest_of_file(where), state)


@explained
class Export:
    """A finished export of lists. Open one with `recae.open_export`.

    path: the folder or the file. manifest: a dict with `kind` ("recommendations" or "similar
    items"), `model` (name, fingerprint, hyperparameters), `data` (fingerprint, users), `options`,
    `schema`, `users`, `rows`, `users_without_rows` and `parts`, a list of dicts with `file`,
    `first_user`, `users`, `rows`, `bytes` and `sha256`. Of a single file, `users_without_rows` and
    `sha256` are None. Of a Parquet file that recae wrote before it had manifests, `model`, `data`
    and `options` are empty.

    >>> rows = recae.Popularity().fit(data).export("top.parquet", data, k=1)
    >>> recae.open_export("top.parquet")
    Export(top.parquet: 5 users, 5 rows, k=1, popularity)
    """

    def __init__(self, path: Path, manifest: dict[str, Any], state: object) -> None:
        self.path, self.manifest, self._state = path, manifest, state

    @property
    def users(self) -> int:
        """The users of the export, also those without rows; items in an item-to-item export."""
        return int(self.manifest["users"])

    @property
    def rows(self) -> int:
        """The rows of all parts."""
        return int(self.manifest["rows"])

    @property
    def k(self) -> int:
        """Rows of a user, at most."""
        return int(self.manifest["options"].get("k", 0)) or self._longest()

    @property
    def files(self) -> list[Path]:
        """The Parquet files, in the order of the users."""
        if self.path.is_dir():
            return [self.path / part["file"] for part in self.manifest["parts"]]
        return [self.path]

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types. Raises DataError for a file that cannot be read."""
        return _schema(self.files[0])

    def dataset(self) -> pads.Dataset:
        """The rows as a `pyarrow.dataset.Dataset` over the parts alone.

        >>> rows = recae.Popularity().fit(data).export("lists", data, k=2)
        >>> recae.open_export("lists").dataset().count_rows() == rows
        True
        """
        return pads.dataset([str(file) for file in self.files], schema=self.schema)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the users and ranks, some 65,536 at a time.

        columns: only these. Raises DataError for a part that cannot be read, naming the remedy, and
        if another export has taken the place of this one since it was opened.

        >>> rows = recae.Popularity().fit(data).export("lists", data, k=2)
        >>> sum(len(batch) for batch in recae.open_export("lists").batches(["item_id"])) == rows
        True
        """
        for file in self.files:
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    self._check_same()  # an open file stays what it is
                    yield from parquet.iter_batches(columns=columns)
            except RecaeError:
                raise
            except READ_ERRORS as error:
                raise self._damaged(file.name, f"cannot be read ({error})") from error

    def verify(self) -> None:
        """Compares every part with the manifest: its size, its SHA-256 and its number of rows.

        A single file has checksums of its pages, which are compared. All files are read once.
        Raises DataError, which names the damaged part and the remedy.

        >>> rows = recae.Popularity().fit(data).export("lists", data, k=2)
        >>> recae.open_export("lists").verify()
        """
        if not self.path.is_dir():
            rows = sum(len(batch) for batch in self.batches())
            if rows != self.rows:
                raise self._damaged(self.path.name, f"has {rows:,} rows, not {self.rows:,}")
            return
        parts = self.manifest["parts"]
        for fault in in_threads(self._fault, parts):
            if fault is not None:
                raise self._damaged(*fault)
        if "histories" in self.manifest:
            check_digests_file(self.path, self.manifest["histories"])

    def _fault(self, part: Mapping[str, Any]) -> tuple[str, str] | None:
        """The name of a part and what is wrong with it; None for a part as it was written."""
        name = part["file"]
        try:
            size = check_file(self.path, name)
            if size != part["bytes"]:
                return name, f"has {size:,} bytes, not {part['bytes']:,}"
            if sha256(self.path / name) != part["sha256"]:
                return name, "has other bytes than were written (SHA-256)"
            rows = pq.read_metadata(self.path / name).num_rows
        except READ_ERRORS as error:
            return name, f"cannot be read ({error})"
        return None if rows == part["rows"] else (name, f"has {rows:,} rows, not {part['rows']:,}")

    def _check_same(self) -> None:
        """Raises DataError if another export has taken the place of this one."""
        if _state(self.path) != self._state:
            raise DataError(f"{self.path} was replaced after it was opened: open it again")

    def _damaged(self, name: str, fault: str) -> DataError:
        self._check_same()
        remedy = AGAIN if self.path.is_dir() else "export it again with overwrite=True"
        return DataError(f"{self.path}: {name} {fault}: {remedy}")

    def _longest(self) -> int:
        """The highest rank, of a file that does not state k."""
        return max(
            (int(_highest(batch)) for batch in self.batches(["rank"]) if len(batch)), default=0
        )

    def __repr__(self) -> str:
        about = [f"{self.users:,} users, {self.rows:,} rows"]
        if "k" in self.manifest["options"]:
            about.append(f"k={self.k}, {self.manifest['model'].get('name')}")
        return f"Export({self.path}: {', '.join(about)})"


def _state(path: Path) -> object:
    """What differs between an export and one that takes its place; None where there is none."""
    try:
        about = os.stat(path / MANIFEST if path.is_dir() else path)
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_mtime_ns


def _highest(batch: pa.RecordBatch) -> int:
    return int(batch["rank"].to_numpy().max())


def _manifest_of_folder(folder: Path) -> dict[str, Any]:
    names = {file.name for file in folder.iterdir()}
    if MANIFEST in names and SUCCESS in names:
        return read_manifest(folder)
    if JOB in names or MANIFEST in names:
        raise DataError(
            f"the export in {folder} is not complete: run the same export again, which resumes it"
        )
    raise DataError(f"{folder} holds no export: it has no {MANIFEST}")


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file).remove_metadata()
    except READ_ERRORS as error:
        raise DataError(f"{file} is no Parquet file, or damaged: {error}") from error


def _manifest_of_file(file: Path) -> dict[str, Any]:
    """The manifest of one file, from its footer."""
    try:
        metadata, schema = pq.read_metadata(file), pq.read_schema(file)
    except READ_ERRORS as error:
        raise DataError(f"{file} is no Parquet file, or damaged: {error}") from error
    about = provenance(schema) or {}
    owner = OWNERS.get(about.get("kind", "recommendations"), "user_id")
    lacking = {owner, LISTED[owner], "score", "rank"} - set(schema.names)
    if lacking:
        raise DataError(f"{file} is no export: it has no column {', '.join(sorted(lacking))}")
    users, rows = about.get("users"), int(metadata.num_rows)
    if not isinstance(users, int):
        users = _runs(file, owner)
    part = {"file": file.name, "first_user": 0, "users": users, "rows": rows}
    part |= {"bytes": file.stat().st_size, "sha256": None}
    empty: dict[str, Any] = {"kind": "recommendations", "model": {}, "data": {}, "options": {}}
    return {
        **empty,
        **about,
        "schema": {field.name: str(field.type) for field in schema},
        "users": users,
        "rows": rows,
        "users_without_rows": None,
        "parts": [part],
    }


def _runs(file: Path, column: str) -> int:
    """How many values follow one another in a column."""
    found, last = 0, None
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(columns=[column]):
                values = batch[column].to_numpy(zero_copy_only=False)
                if len(values):
                    found += int(np.sum(values[1:] != values[:-1])) + int(values[0] != last)
                    last = values[-1]
    except READ_ERRORS as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    return found
