"""What a model scored on a fold: values per user, means, intervals, provenance."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data.sources import read_frame
from recae.errors import DataError, StorageError, unknown_option
from recae.files import as_path, atomic_file, plain

_KEYS = {"model", "metrics", "provenance"}


@dataclass(frozen=True)
class Report:
    """What a model scored on a fold.

    model: its repr; per_user: one row per user of the fold (index: user id), one column per metric,
    NaN for users without a target; catalogue: metrics of the whole set of lists, such as coverage;
    interval: the 95 % bootstrap interval of every mean; provenance: data, versions, seconds.

    >>> fold = recae.holdout_pairs(data, 0.5).validation
    >>> report = recae.evaluate(recae.EASE().fit(data), fold, ["recall@4"])
    >>> report["recall@4"]  # there are four items
    1.0
    """

    model: str
    per_user: pd.DataFrame
    catalogue: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> dict[str, float]:
        """Every metric's value: the mean over users with a target, or the catalogue's number.

        >>> recae.Report("a", pd.DataFrame({"ndcg@5": [0.5, 0.0]}, index=[7, 8])).mean
        {'ndcg@5': 0.25}
        """
        means = {str(name): float(value) for name, value in self.per_user.mean().items()}
        return means | dict(self.catalogue)

    def __getitem__(self, metric: str) -> float:
        mean = self.mean
        if metric not in mean:
            raise unknown_option("metric of this report", metric, mean)
        return mean[metric]

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

    def save(self, path: str | Path, *, per_user: bool = False) -> Path:
        """Writes the `summary` as JSON, atomically. Returns the path.

        per_user: also writes the users' values, to a Parquet beside it whose name begins alike and
        holds their digest; `load` then reads the report back, for instance to `recae.compare` it
        with one of another day. A report that was there stays whole until the new one is. The user
        ids must be integers or text. Raises StorageError if either cannot be written.

        >>> report = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}, index=[7]))
        >>> report.save("report.json").name
        'report.json'
        """
        summary, path = self.summary(), as_path(path)
        if per_user:
            content = BytesIO()
            self.per_user.rename_axis("user_id").reset_index().to_parquet(content, index=False)
            digest = sha256(content.getvalue()).hexdigest()
            file = path.with_name(f"{path.name}.per_user-{digest[:8]}.parquet")
            with atomic_file(file) as part:
                part.write_bytes(content.getvalue())
            summary["per_user"] = {"file": file.name, "sha256": digest}
        with atomic_file(path) as part:
            part.write_text(json.dumps(summary, indent=2, default=plain) + "\n", encoding="utf-8")
        for old in path.parent.glob(f"{glob.escape(path.name)}.per_user-????????.parquet"):
            if old.name != summary.get("per_user", {}).get("file"):
                old.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """The report that `save(path, per_user=True)` wrote.

        Raises StorageError if a file is absent or damaged, DataError if the report was saved
        without its users' values.

        >>> import pandas as pd, recae, tempfile
        >>> report = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5]}, index=[7]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = report.save(f"{folder}/a.json", per_user=True)
        ...     recae.Report.load(path)["ndcg@5"]
        0.5
        """
        try:
            summary = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise StorageError(f"could not read the report {path}: {error.strerror}") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise StorageError(f"{path} is no saved report: it is not JSON") from error
        if not isinstance(summary, dict) or not summary.keys() >= _KEYS:
            raise StorageError(f"{path} is no saved report, which has {', '.join(sorted(_KEYS))}")
        if "per_user" not in summary:
            raise DataError(f"{path} has no values per user: save it with per_user=True")
        try:
            file = Path(path).with_name(summary["per_user"]["file"])
            content, digest = file.read_bytes(), summary["per_user"]["sha256"]
        except OSError as error:
            raise StorageError(f"{file} is missing: {error.strerror}") from error
        except (TypeError, KeyError, ValueError) as error:
            raise StorageError(f"{path} is no saved report: its per_user names no file") from error
        if sha256(content).hexdigest() != digest:
            raise StorageError(f"{file} does not belong to {path}, or is damaged")
        table = read_frame(BytesIO(content)).set_index("user_id").rename_axis(None)
        try:
            rows = {
                name: [_number(row[part]) for part in ("mean", "low", "high")]
                for name, row in summary["metrics"].items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"{path} is no saved report: its metrics are damaged") from error
        return cls(
            model=summary["model"],
            per_user=table,
            catalogue={name: v[0] for name, v in rows.items() if name not in table},
            interval={name: (v[1], v[2]) for name, v in rows.items() if name in table},
            provenance=summary["provenance"],
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


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
