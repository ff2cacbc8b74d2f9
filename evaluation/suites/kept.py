"""The kept results of a suite: a JSON for each model, and one wide Parquet of values per user.

results/SUITE/MODEL.json      settings, seeds, means with intervals, trials, provenance
results/SUITE/users.parquet   a row per user: history, targets and MODEL/SEED/METRIC in float32
results/SUITE/items.parquet   a row per item: training_users, targets and, of each model's first
                              seed, MODEL/hits@K and MODEL/listed@K

One process at a time may write to the folder of a suite.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae
from recae.errors import DataError, StorageError
from recae.report import Entry, Published
from recae.report.entry import check_entries, check_measured
from recae.system.files import atomic_file, plain

USERS, ITEMS = "users.parquet", "items.parquet"

SINGLE = 2.0**-25
"""Half the distance of float32 numbers below 1: the largest error of a stored share."""

TOLERANCE = 1e-6
"""Tolerance between the means of the float32 values and the means in the JSON file."""


def save_entry(folder: Path, entry: Entry) -> Path:
    """Writes the result of a model and replaces an earlier one. Returns the path of its JSON file.

    Raises DataError if the folder holds results of other users or items.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{entry.name}.json"
    users = _merged(folder / USERS, entry.name, _columns_of_users(entry))
    items = _merged(folder / ITEMS, entry.name, _columns_of_items(entry))
    file.unlink(missing_ok=True)  # an interrupted call must not leave it with the new values
    for name, table in ((USERS, users), (ITEMS, items)):
        if len(table.columns):
            _write(folder / name, table)
    about = {f.name: getattr(entry, f.name) for f in fields(entry)}
    about["published"] = {name: asdict(figure) for name, figure in entry.published.items()}
    about["reports"] = [report.summary() for report in entry.reports]
    text = json.dumps(_finite(about), indent=2, default=plain, allow_nan=False, ensure_ascii=False)
    with atomic_file(file, overwrite=True) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return file


def read_about(folder: Path, name: str) -> dict[str, Any] | None:
    """The JSON of a model; None if there is none. Raises StorageError for a damaged one."""
    file = folder / f"{name}.json"
    if not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise StorageError(f"{file} is damaged: it is not JSON; run {name} again") from error


def names(folder: Path) -> list[str]:
    """The models that have a result in the folder of a suite."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load_entries(folder: Path, *, target: str | None = None) -> list[Entry]:
    """The results of a suite in the order of their names, as entries of `recae.report`.

    target: the fingerprint of the targets that they must have been measured on. Raises StorageError
    if there are no results or they do not fit together, DataError if they are of different data.
    """
    found = {name: read_about(folder, name) for name in names(folder)}
    if not found:
        raise StorageError(f"{folder} holds no results: run the suite first")
    users, items = _read(folder / USERS), _read(folder / ITEMS)
    entries = [_entry(about, users, items) for about in found.values() if about is not None]
    check_entries(entries)
    if target is not None:
        check_measured(entries, target)
    return entries


def _entry(about: dict[str, Any], users: pd.DataFrame, items: pd.DataFrame) -> Entry:
    name = about["name"]
    reports = []
    for seed, summary in enumerate(about["reports"]):
        values = _part(users, f"{name}/{seed}/").apply(_shares, targets=users.get("targets"))
        values = values[[metric for metric in summary["metrics"] if metric in values]]
        rows = {
            metric: [math.nan if row[part] is None else row[part] for part in row]
            for metric, row in summary["metrics"].items()
        }
        wrong = [m for m in values if abs(values[m].mean() - rows[m][0]) > TOLERANCE]
        if wrong or values.empty:
            what = f"other values of {wrong[0]} than {name}.json" if wrong else "no values"
            raise StorageError(f"{USERS} has {what} for {name}, seed {seed}: run {name} again")
        first = not seed
        reports.append(
            recae.Report(
                model=summary["model"],
                per_user=values,
                catalogue={m: row[0] for m, row in rows.items() if m not in values},
                interval={m: (row[1], row[2]) for m, row in rows.items() if row[1] == row[1]},
                provenance=summary["provenance"],
                users=_shared(users) if first else pd.DataFrame(),
                items=_shared(items).join(_part(items, f"{name}/")) if first else pd.DataFrame(),
            )
        )
    published = {metric: Published(**figure) for metric, figure in about["published"].items()}
    return Entry(**(about | {"reports": reports, "published": published}))


def _shares(values: pd.Series[float], targets: pd.Series[int] | None) -> pd.Series[float]:
    """The values in float64, with shares of a user's targets restored to their exact value before
    float32.

    Rank tests depend on it: 2/3 - 1/3 and 1/3 - 0 are ties only in exact arithmetic.
    """
    exact = values.astype(np.float64)
    if targets is None:
        return exact
    shares = np.rint(exact * targets) / targets
    return exact.mask((exact - shares).abs() <= SINGLE, shares)


def _columns_of_users(entry: Entry) -> pd.DataFrame:
    parts = [
        report.per_user.add_prefix(f"{entry.name}/{seed}/").astype(np.float32)
        for seed, report in enumerate(entry.reports)
    ]
    return pd.concat([entry.reports[0].users.astype(np.int32), *parts], axis=1)


def _columns_of_items(entry: Entry) -> pd.DataFrame:
    counts = entry.reports[0].items.astype(np.int32)
    own = {c: f"{entry.name}/{c}" for c in counts if "@" in c}
    return counts.rename(columns=own)


def _merged(path: Path, name: str, new: pd.DataFrame) -> pd.DataFrame:
    """The table of a suite with the columns of one model replaced."""
    old = _read(path)
    if old.empty or new.empty:
        return new if old.empty else old
    if not old.index.equals(new.index):
        raise DataError(
            f"{path} holds {len(old)} rows and the result of {name} {len(new)} of other data: "
            "keep the results of other data in another folder (--results)"
        )
    kept = [c for c in old if not c.startswith(f"{name}/") and c not in new]
    table = pd.concat([old[kept], new], axis=1)
    return table[sorted(table.columns, key=lambda column: ("/" in column, column))]


def _part(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """The columns that begin with the prefix; their new names are without it."""
    found = [column for column in table if column.startswith(prefix)]
    return table[found].rename(columns=lambda column: column.removeprefix(prefix))


def _shared(table: pd.DataFrame) -> pd.DataFrame:
    return table[[column for column in table if "/" not in column]]


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_parquet(path)
    return table.set_index(table.columns[0]).rename_axis(None)


def _write(path: Path, table: pd.DataFrame) -> None:
    content = BytesIO()
    index = "user_id" if path.name == USERS else "item_id"
    flat = table.rename_axis(index).reset_index()
    flat.to_parquet(content, index=False, compression="zstd", compression_level=19)
    with atomic_file(path, overwrite=True) as part:
        part.write_bytes(content.getvalue())


def _finite(value: Any) -> Any:
    """The same value with None instead of NaN and infinity, which JSON cannot represent."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
