"""A row of a report: a model, what it scored under one or more seeds, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recae.errors import ConfigError
from recae.evaluate import Report


@dataclass(frozen=True)
class Published:
    """A published figure of one metric.

    value: a fraction; source: the paper or file it was read in; comparable: whether its protocol is
    the one of the report; note: what differs, or what else to know.

    >>> recae.Published(0.2214, "Sachdeva et al. 2022, table 1").comparable
    True
    """

    value: float
    source: str
    comparable: bool = True
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """A model in a report.

    name: how it is called there, unique; reports: one for each seed, at least one, the first of
    which is compared with other models user by user; fit_seconds: one for each report (of the fit
    of the settings alone); tuning_seconds: of choosing the settings; peak_gb: the most memory of
    the process, in 10^9 bytes; epochs: of the first fit, `{"number", "loss", "seconds",
    "metrics": {name: value}}` each; trials: of choosing the settings, `{"params": {...}, "value",
    "seconds", "state"}` each; published: metric -> figure; provenance: where it all comes from.

    >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.7]}, index=[1, 2])
    >>> entry = recae.Entry("ease", [recae.Report("EASE()", values)])
    >>> entry.value("ndcg@5")
    0.6
    """

    name: str
    reports: Sequence[Report]
    fit_seconds: Sequence[float] = ()
    tuning_seconds: float | None = None
    peak_gb: float | None = None
    epochs: Sequence[Mapping[str, Any]] = ()
    trials: Sequence[Mapping[str, Any]] = ()
    published: Mapping[str, Published] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.reports:
            raise ConfigError(f"the entry {self.name!r} has no report")

    def value(self, metric: str) -> float:
        """The metric's mean over users, and over the seeds. Raises ConfigError for an unknown one.

        >>> values = pd.DataFrame({"ndcg@5": [0.5, 0.7]}, index=[1, 2])
        >>> recae.Entry("a", [recae.Report("a", values)] * 2).value("ndcg@5")
        0.6
        """
        return float(np.mean([report[metric] for report in self.reports]))

    @property
    def seconds(self) -> float | None:
        """The median seconds of a fit, None if none is known."""
        return float(np.median(self.fit_seconds)) if len(self.fit_seconds) else None
