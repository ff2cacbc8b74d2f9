"""The job of an export, its manifest, and the provenance in its Parquet files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recae.errors import DataError
from recae.system.files import plain
from recae.system.machine import __version__
from recae.system.safely import parsed, read_text

FORMAT = 1
MANIFEST, SUCCESS = "_manifest.json", "_SUCCESS"
JOB, JOURNAL, LOCK = "_job.json", "_parts.jsonl", "_lock"
"""Files of a folder that is being written. Readers of Parquet skip names that begin with `_`."""

DIGESTS = "_users.digests"
"""The digests of the users' histories; not *.parquet, which DuckDB and polars read all of."""

KEY = b"recae"
"""The key of the provenance in the metadata of a Parquet file."""

OWNERS = {"recommendations": "user_id", "similar items": "item_id"}
"""Kind of an export -> the column of those who have a list."""

LISTED = {"user_id": "item_id", "item_id": "similar_item_id"}
"""The column of those who have a list -> the column of what is listed."""

COUNTS = ("first_user", "users", "rows", "bytes")


@dataclass(frozen=True)
class Job:
    """Everything that the rows of an export depend on.

    kind: a key of OWNERS. model: its name, fingerprint and hyperparameters. data: the fingerprint
    of the histories, and their users. options: those of the call, ready for JSON. schema: the
    columns. users: how many have a place in it, also without a row; users_per_part: in each part
    but the last.
    """

    kind: str
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    options: Mapping[str, Any]
    schema: pa.Schema
    users: int
    users_per_part: int

    @property
    def parts(self) -> int:
        """The number of parts; one without rows if there are no users."""
        return max(-(-self.users // self.users_per_part), 1)

    def bounds(self, part: int) -> tuple[int, int]:
        """The first user of a part, and the one after its last."""
        first = part * self.users_per_part
        return first, min(first + self.users_per_part, self.users)

    def to_json(self) -> dict[str, Any]:
        """The job, ready for JSON, as in `_job.json`."""
        about = {
            "format": FORMAT,
            "recae": __version__,
            "kind": self.kind,
            "model": self.model,
            "data": self.data,
            "options": self.options,
            "schema": {field.name: str(field.type) for field in self.schema},
            "users": self.users,
            "users_per_part": self.users_per_part,
        }
        found: dict[str, Any] = json.loads(json.dumps(about, default=plain))
        return found

    @property
    def written_schema(self) -> pa.Schema:
        """The schema with the provenance in its metadata. It holds no time: the same job gives the
        same bytes."""
        about = self.to_json()
        about.pop("schema"), about.pop("users_per_part")
        return self.schema.with_metadata({KEY: json.dumps(about).encode()})


def part_name(part: int) -> str:
    """The file of a part, counted from 0.

    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{part:05d}.parquet"


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between the jobs in two JSON documents, such as "options.k"."""
    names = []
    for name, value in wanted.items():
        other = found.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            keys = {**value, **other}
            names += [f"{name}.{key}" for key in keys if value.get(key) != other.get(key)]
        elif value != other:
            names.append(name)
    return names


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object in a folder. Raises DataError."""
    try:
        found = parsed(read_text(folder, name))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{folder / name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{folder / name} holds no JSON object")
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest of an export. Raises DataError for one that is damaged or newer."""
    found = read_json(folder, MANIFEST)
    if found.get("format") != FORMAT:
        raise DataError(
            f"{folder / MANIFEST} has format {found.get('format')!r}, and this recae reads format "
            f"{FORMAT}: upgrade recae"
        )
    parts = found.get("parts")
    sound = isinstance(parts, list) and len(parts) > 0 and found.get("kind") in OWNERS
    sound = sound and all(isinstance(found.get(key), dict) for key in ("model", "data", "options"))
    users = 0
    for number, part in enumerate(parts if sound and isinstance(parts, list) else []):
        sound = sound and sound_entry(part) and part["file"] == part_name(number)
        sound = sound and part["first_user"] == users
        users += part["users"] if sound else 0
    if sound:
        assert isinstance(parts, list)
        rows = sum(part["rows"] for part in parts)
        sound = found.get("users") == users and found.get("rows") == rows
    if not sound:
        raise DataError(
            f"{folder / MANIFEST} is damaged: delete it and {SUCCESS}, and run the same export "
            "again"
        )
    return found


def sound_entry(entry: Any) -> bool:
    """Whether this describes a part, in a manifest or in the journal."""
    if not isinstance(entry, dict):
        return False
    counts = [entry.get(name) for name in (*COUNTS, "users_without_rows")]
    if not all(type(count) is int and count >= 0 for count in counts):
        return False
    return isinstance(entry.get("file"), str) and isinstance(entry.get("sha256"), str)


def provenance(schema: pa.Schema) -> dict[str, Any] | None:
    """What a Parquet file says about the export that it is from; None if it says nothing."""
    try:
        found = parsed((schema.metadata or {})[KEY])
    except (KeyError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
