"""An entry on disk: a directory of JSON and Parquet.

entry/entry.json      format version, recae version, what the entry says beside its reports, the
                      SHA-256 of that, and the SHA-256 of every other file
entry/report-1.json   the report of the first seed, with the file of its values per user beside it
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recae.errors import DataError, RecaeError, StorageError
from recae.evaluation import Report
from recae.system.files import as_path, atomic_directory, plain
from recae.system.machine import __version__

FORMAT = 1
ENTRY = "entry.json"


def save_folder(
    path: str | Path, about: Mapping[str, Any], reports: Sequence[Report], *, overwrite: bool
) -> Path:
    """Writes what an entry says and its reports to the directory `path`, whole or not at all.

    Numbers that are none (NaN, infinite) become null, because JSON has no word for them. Raises
    StorageError if it cannot be written, DataError for what JSON cannot say.
    """
    try:
        told = json.loads(json.dumps(_finite(about), default=plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DataError(f"the entry {about.get('name')!r} cannot be saved: {error}") from error
    with atomic_directory(path, overwrite=overwrite, marker=ENTRY) as part:
        for number, report in enumerate(reports, start=1):
            report.save(part / f"report-{number}.json", per_user=True)
        content = {
            "format": FORMAT,
            "recae": __version__,
            "entry": told,
            "sha256": _digest(told),
            "reports": [f"report-{number}.json" for number in range(1, len(reports) + 1)],
            "files": {file.name: _file_digest(file) for file in sorted(part.iterdir())},
        }
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (part / ENTRY).write_text(text + "\n", encoding="utf-8")
    return as_path(path)


def load_folder(path: str | Path) -> tuple[dict[str, Any], list[Report]]:
    """What an entry says, and its reports. Raises StorageError for anything but a whole one."""
    folder = as_path(path)
    content = _content(folder)
    try:
        told, files = dict(content["entry"]), dict(content["files"])
        names, digest = [str(name) for name in content["reports"]], content["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / ENTRY, "it does not say what an entry says") from error
    if _digest(content["entry"]) != digest:
        raise _damaged(folder / ENTRY, "it is not what was saved")
    try:
        here = {file.name for file in folder.iterdir()} - {ENTRY}
        for name in sorted(set(files) | set(names) | here):
            if name not in here:
                raise StorageError(f"{folder} is incomplete: {name} is missing; save it again")
            if name not in files:
                raise StorageError(f"{folder / name} is not part of the entry: remove it")
            if _file_digest(folder / name) != files[name]:
                raise _damaged(folder / name, "it is cut short, altered or of another entry")
        return told, [Report.load(folder / name) for name in names]
    except StorageError:
        raise
    except (OSError, RecaeError) as error:
        raise _damaged(folder, str(error)) from error


def _content(folder: Path) -> dict[str, Any]:
    file = folder / ENTRY
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"{folder} holds no entry: {ENTRY}: {error.strerror}") from error
    except ValueError as error:
        raise _damaged(file, "it is not JSON") from error
    if not isinstance(content, dict) or "format" not in content:
        raise _damaged(file, "it does not say what an entry says")
    if content["format"] != FORMAT:
        raise StorageError(
            f"{folder} has format {content['format']}; this recae {__version__} reads format "
            f"{FORMAT}: it was saved by recae {content.get('recae')}, save it again"
        )
    return content


def _damaged(path: Path, reason: str) -> StorageError:
    return StorageError(f"{path} is damaged: {reason}; measure again and save it again")


def _file_digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """The same with None for every number that is none, in plain lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if not isinstance(value, str) and hasattr(value, "item"):
        value = value.item()  # of numpy
    return None if isinstance(value, float) and not math.isfinite(value) else value
