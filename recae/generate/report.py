"""What was measured of synthetic users, as tables and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MEASURES = {
    "item_distance": "items: share of interactions that would have to move",
    "item_rank_correlation": "items: rank correlation of popularity",
    "mean_length": "histories: mean length",
    "length_distance": "histories: largest gap between distributions",
    "pair_correlation": "pairs of items: correlation of log lift",
    "pair_slope": "pairs of items: strength of lift, 1 as in real data",
    "nearest_similarity": "nearest training user: median Jaccard similarity",
    "nearer": "nearer to one than a held-out user is: share",
    "close": "nearer than 95 in 100 held-out users: share",
    "exact_copies": "exact copies of a training user: share",
    "near_copies": "near or exact copies: share",
    "use": "model fitted on them, on real held-out users",
}
COLUMNS = ["real", "held-out", "synthetic", "popularity", "resampled"]


@dataclass(frozen=True)
class SyntheticReport:
    """What `synthetic_report` measured.

    users: how many of each kind, and pairs of items; metric: of the downstream models. measures: a
    frame with a row for each measure (`item_distance`, ..., `use`) and the columns real, held-out,
    synthetic, popularity, resampled, NaN where a measure makes no sense. attacks: a frame with the
    columns of, attack, auc, low, high, members and others. items: a frame with a row for each item
    (index: item id) and its share of the interactions in the columns real, synthetic, popularity
    and resampled. nearest: the Jaccard similarities (n,) of users to the nearest training user.

    >>> float(recae.synthetic_report(data, data).items["synthetic"].sum())
    1.0
    """

    users: dict[str, int]
    metric: str
    items: pd.DataFrame
    measures: pd.DataFrame
    attacks: pd.DataFrame
    nearest: dict[str, np.ndarray] = field(repr=False)
    floor: float
    """The metric of recommending everybody what is popular; NaN without held-out users."""

    @property
    def kept(self) -> float:
        """The share that synthetic users keep of the metric of a model fitted on real users.

        NaN without held-out users, or where that metric is 0.
        """
        real, ours = (float(self.measures.loc["use", name]) for name in ("real", "synthetic"))
        return ours / real if real else float("nan")

    def summary(self) -> dict[str, Any]:
        """Everything but the frame of items and the similarities, ready for JSON.

        >>> recae.synthetic_report(data, data).summary()["users"]["synthetic"]
        5
        """
        found = self.measures.astype(object).where(self.measures.notna(), None)
        summary: dict[str, Any] = {"users": self.users, "metric": self.metric}
        summary["measures"] = found.to_dict(orient="index")
        summary["attacks"] = self.attacks.to_dict(orient="records")
        if self.nearest:
            summary["use"] = {"kept": self.kept, "popular_items": self.floor}
        return summary

    def plot(self, path: str | Path) -> Path:
        """Draws marginals, neighbours, and the worth of models fitted on each, as a PNG.

        Returns the path. Raises ConfigError without matplotlib, StorageError if the file cannot be
        written.

        >>> recae.synthetic_report(data, data).plot("synthetic.png").name
        'synthetic.png'
        """
        from recae.generate.plot import draw

        return draw(self, path)

    def __str__(self) -> str:
        from recae.generate.words import sentences

        table = self.measures.rename(index=MEASURES | {"use": f"{self.metric}: {MEASURES['use']}"})
        table = table.dropna(how="all").dropna(how="all", axis=1)
        text = table.map(lambda value: "" if np.isnan(value) else f"{value:.4g}").to_string()
        lines = [text, ""]
        if len(self.attacks):
            shown = self.attacks.pivot(index="attack", columns="of", values="auc")
            shown = shown[[name for name in COLUMNS if name in shown]]
            shown.index.name = shown.columns.name = None
            lines += ["Who was trained on? AUC of each attack, 0.5 is a blind guess:"]
            lines += [shown.to_string(float_format="%.3f"), ""]
        return "\n".join(lines + sentences(self))
