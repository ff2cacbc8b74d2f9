"""Reports side by side, as tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from recae.errors import ConfigError
from recae.evaluate import Report


def comparison(reports: Mapping[str, Report]) -> pd.DataFrame:
    """One row per report (its name as index), one text column per metric: `mean [low, high]`.

    Raises ConfigError without reports.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> recae.comparison({"a": recae.Report("a", values)}).loc["a", "recall@5"]
    '0.6000'
    """
    require_some(reports)
    return pd.DataFrame({name: _cells(report) for name, report in reports.items()}).T


def _cells(report: Report) -> dict[str, str]:
    frame = report.frame()
    return {
        str(metric): f"{row['mean']:.4f}"
        + ("" if pd.isna(row["low"]) else f" [{row['low']:.4f}, {row['high']:.4f}]")
        for metric, row in frame.iterrows()
    }


def require_some(reports: Mapping[str, Report]) -> None:
    if not reports:
        raise ConfigError("there are no reports to show; give at least one, as {name: report}")
