"""Report: per-user values of the metrics, means, confidence intervals and provenance."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data.tables.sources import read_frame
from recae.errors import DataError, StorageError, check_option, explained, folded
from recae.system.digests import sha256
from recae.system.display import html_table
from recae.system.files import as_path, atomic_file, check_target, plain

KEYS = {"model", "metrics", "provenance"}
ENDINGS = (".json",)
INDEX = {"per_user": "user_id", "users": "user_id", "items": "item_id"}
"""The tables of a report, and the name of the column that holds their index."""


@explained
@dataclass(frozen=True)
class Report:
    """The results of a model on a fold.

    model: its repr. per_user: one row per user of the fold (index: user id), one column per metric,
    NaN for users without a target. catalogue: metrics of the whole set of lists, such as coverage.
    interval: the 95 % bootstrap interval of every mean. provenance: data, versions, machine,
    seconds, see `evaluate`.

    users: the users of per_user, with the columns history (items in it) and targets (items in it).
    items: one row per item of the fold (index: item id). The columns are training_users (absent if
    they are not known) and targets (users who have it as a target). For every cut-off k of the
    metrics there are hits@k and listed@k. hits@k counts users who have it as a target and in their
    first k, listed@k users who have it in their first k. All are integers; users without a target
    count in listed@k. Both frames are empty if the counts are unknown.

    >>> fold = recae.data.splits.holdout_pairs(data, 0.5).validation
    >>> report = recae.evaluate(recae.EASE().fit(data), fold, ["recall@4"])
    >>> report["recall@4"]  # there are four items
    1.0
    """

    model: str
    per_user: pd.DataFrame
    catalogue: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    users: pd.DataFrame = field(default_factory=pd.DataFrame)
    items: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def mean(self) -> dict[str, float]:
        """Every metric's value: the mean over users with a target, or the catalogue's number.

        >>> recae.Report("a", pd.DataFrame({"ndcg@5": [0.5, 0.0]}, index=[7, 8])).mean
        {'ndcg@5': 0.25}
        """
        means = {str(name): float(value) for name, value in self.per_user.mean().items()}
        return means | dict(self.catalogue)

    def __getitem__(self, metric: str) -> float:
        if isinstance(metric, str) and metric not in self.metrics:
            spellings = {folded(name): name for name in self.metrics}
            metric = spellings.get(folded(metric), metric)
        check_option("metric of this report", metric, self.metrics)
        if metric in self.catalogue:
            return float(self.catalogue[metric])
        return float(self.per_user[metric].mean())

    @property
    def metrics(self) -> list[str]:
        """The metrics: those with a value per user, then those of the catalogue.

        >>> recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}), {"coverage@5": 0.1}).metrics
        ['ndcg@5', 'coverage@5']
        """
        return list(dict.fromkeys([*map(str, self.per_user), *self.catalogue]))

    def frame(self) -> pd.DataFrame:
        """A frame with the columns `mean, low, high` and a row per metric.

        low and high bound the 95 % bootstrap interval; they are NaN where there is none.

        >>> recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}, index=[7])).frame()
                mean  low  high
        ndcg@5   0.5  NaN   NaN
        """
        nothing = (float("nan"), float("nan"))
        rows = {name: (v, *self.interval.get(name, nothing)) for name, v in self.mean.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])

    def __str__(self) -> str:
        users = self.provenance.get("users", len(self.per_user))
        return f"{self.model} on {users:,} users\n{self.frame().to_string(float_format='%.4f')}"

    def _repr_html_(self) -> str:
        rows = [(str(name), *map(float, row)) for name, *row in self.frame().itertuples()]
        heading = str(self).partition("\n")[0]
        return html_table(heading, ("metric", "mean", "low", "high"), rows)

    def save(self, path: str | Path, *, per_user: bool = False, overwrite: bool = False) -> Path:
        """Writes the `summary` as JSON, atomically. Returns the path.

        per_user: also writes the users' values and the frames users and items. Each gets a Parquet
        file in the same folder, whose name begins alike and holds its digest. `load` can then read
        the report back, for instance to `recae.compare` it with a later one. overwrite: replace a
        report that is there, once the new one is complete. The ids must be integers or text. Raises
        ConfigError unless the path ends in .json, StorageError if a file cannot be written.

        >>> report = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}, index=[7]))
        >>> report.save("report.json").name
        'report.json'
        """
        tables: dict[str, pd.DataFrame | None] = {}
        if per_user:
            tables["per_user"] = self.per_user
            for name, table in (("users", self.users), ("items", self.items)):
                tables[name] = table if len(table.columns) else None
        return _write(path, self.summary(), tables, overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """The report that `save(path, per_user=True)` wrote.

        Reports of older versions have empty users and items. Raises StorageError if a file is
        absent or damaged, DataError if the report was saved without its users' values.

        >>> report = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}, index=[7]))
        >>> recae.Report.load(report.save("a.json", per_user=True))["ndcg@5"]
        0.5
        """
        summary, tables = _read(path)
        table = tables["per_user"]
        try:
            rows = {
                name: [_number(row[part]) for part in ("mean", "low", "high")]
                for name, row in summary["metrics"].items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"{path} is not a saved report: its metrics are damaged") from error
        return cls(
            model=summary["model"],
            per_user=table,
            catalogue={name: v[0] for name, v in rows.items() if name not in table},
            interval={
                name: (v[1], v[2]) for name, v in rows.items() if name in table or v[1] == v[1]
            },
            provenance=summary["provenance"],
            users=tables.get("users", pd.DataFrame()),
            items=tables.get("items", pd.DataFrame()),
        )

    def summary(self) -> dict[str, Any]:
        """Model, means with intervals (None where there is none) and provenance, ready for JSON.

        >>> recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}, index=[7])).summary()["metrics"]
        {'ndcg@5': {'mean': 0.5, 'low': None, 'high': None}}
        """
        rows = self.frame().astype(object).where(lambda frame: frame.notna(), None)
        return {
            "model": self.model,
            "metrics": rows.to_dict(orient="index"),  # all digits, which to_json would round
            "provenance": dict(self.provenance),
        }


def check_report(report: object) -> None:
    """Raises DataError unless this is a Report."""
    if not isinstance(report, Report):
        raise DataError(
            f"a Report is needed, as recae.evaluate returns it, not {type(report).__name__}",
            parameter="report",
            value=report,
        )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _write(
    path: str | Path,
    summary: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame | None],
    overwrite: bool,
) -> Path:
    """Writes the tables first and then the summary, which names them with their digests.

    An existing summary and its tables are kept until the new one is complete; then tables that the
    new summary does not name are deleted. Raises StorageError if one cannot be written.
    """
    path, content = as_path(path), dict(summary)
    check_target(path, overwrite=overwrite, endings=ENDINGS)
    for name, table in tables.items():
        if table is not None:
            content[name] = _write_table(path, name, table)
    with atomic_file(path, overwrite=overwrite) as part:
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
    digest = sha256(content.getvalue())
    file = path.with_name(f"{path.name}.{name}-{digest[:8]}.parquet")
    with atomic_file(file, overwrite=True) as part:  # its name has its digest
        part.write_bytes(content.getvalue())
    return {"file": file.name, "sha256": digest}


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The summary that `write` wrote, and the tables that it names.

    Raises StorageError if a file is missing, damaged or belongs to another report, DataError if
    there are no values per user.
    """
    try:
        summary = json.loads(as_path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"could not read the report {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is not a saved report: it is not JSON") from error
    if not isinstance(summary, dict) or not summary.keys() >= KEYS:
        raise StorageError(f"{path} is not a saved report, which has {', '.join(sorted(KEYS))}")
    if "per_user" not in summary:
        raise DataError(f"{path} has no values per user: save it with per_user=True")
    named = {name: summary[name] for name in INDEX if name in summary}
    return summary, {name: _read_table(path, name, entry) for name, entry in named.items()}


def _read_table(path: str | Path, name: str, entry: Any) -> pd.DataFrame:
    """A table of a saved report. Raises StorageError if the file is missing, or is not the one that
    was saved."""
    try:
        file = Path(path).with_name(entry["file"])
        content, digest = file.read_bytes(), entry["sha256"]
    except OSError as error:
        raise StorageError(f"{file} is missing: {error.strerror}") from error
    except (TypeError, KeyError, ValueError) as error:
        raise StorageError(f"{path} is not a saved report: its {name} names no file") from error
    if sha256(content) != digest:
        raise StorageError(f"{file} does not belong to {path}, or is damaged")
    return read_frame(BytesIO(content)).set_index(INDEX[name]).rename_axis(None)
