"""A report on disk: a JSON of what it says, and its tables beside it in Parquet."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data.tables.sources import read_frame
from recae.errors import DataError, StorageError
from recae.system.files import as_path, atomic_file, plain

KEYS = {"model", "metrics", "provenance"}
INDEX = {"per_user": "user_id", "users": "user_id", "items": "item_id"}
"""The tables of a report, and what the column is called that holds their index."""


def write(
    path: str | Path, summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame | None]
) -> Path:
    """Writes the tables first and then the summary, which names them with their digests.

    The summary that was there, and the tables it names, stay whole until the new one is; then
    tables that it does not name are deleted. Raises StorageError if one cannot be written.
    """
    path, content = as_path(path), dict(summary)
    for name, table in tables.items():
        if table is not None:
            content[name] = _write_table(path, name, table)
    with atomic_file(path) as part:
        part.write_text(json.dumps(content, indent=2, default=plain) + "\n", encoding="utf-8")
    for name in INDEX:
        for old in path.parent.glob(f"{glob.escape(path.name)}.{name}-????????.parquet"):
            if old.name != content.get(name, {}).get("file"):
                old.unlink(missing_ok=True)
    return path


def _write_table(path: Path, name: str, table: pd.DataFrame) -> dict[str, str]:
    content = BytesIO()
    table.rename_axis(INDEX[name]).reset_index().to_parquet(
        content, index=False, compression="zstd"
    )
    digest = sha256(content.getvalue()).hexdigest()
    file = path.with_name(f"{path.name}.{name}-{digest[:8]}.parquet")
    with atomic_file(file) as part:
        part.write_bytes(content.getvalue())
    return {"file": file.name, "sha256": digest}


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The summary that `write` wrote, and the tables that it names.

    Raises StorageError if a file is absent, damaged or of another report, DataError if there are no
    values per user.
    """
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"could not read the report {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is no saved report: it is not JSON") from error
    if not isinstance(summary, dict) or not summary.keys() >= KEYS:
        raise StorageError(f"{path} is no saved report, which has {', '.join(sorted(KEYS))}")
    if "per_user" not in summary:
        raise DataError(f"{path} has no values per user: save it with per_user=True")
    named = {name: summary[name] for name in INDEX if name in summary}
    return summary, {name: _read_table(path, name, entry) for name, entry in named.items()}


def _read_table(path: str | Path, name: str, entry: Any) -> pd.DataFrame:
    try:
        file = Path(path).with_name(entry["file"])
        content, digest = file.read_bytes(), entry["sha256"]
    except OSError as error:
        raise StorageError(f"{file} is missing: {error.strerror}") from error
    except (TypeError, KeyError, ValueError) as error:
        raise StorageError(f"{path} is no saved report: its {name} names no file") from error
    if sha256(content).hexdigest() != digest:
        raise StorageError(f"{file} does not belong to {path}, or is damaged")
    return read_frame(BytesIO(content)).set_index(INDEX[name]).rename_axis(None)
