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

    >>> float(recae.apply.generate.synthetic_report(data, data).items["synthetic"].sum())
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
        real, ours = (float(self.measures[name]["use"]) for name in ("real", "synthetic"))
        return ours / real if real else float("nan")

    def summary(self) -> dict[str, Any]:
        """Everything but the frame of items and the similarities, ready for JSON.

        >>> recae.apply.generate.synthetic_report(data, data).summary()["users"]["synthetic"]
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

        >>> recae.apply.generate.synthetic_report(data, data).plot("synthetic.png").name
        'synthetic.png'
        """
        from recae.apply.generate.plot import draw

        return draw(self, path)

    def __str__(self) -> str:
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
        return "\n".join(lines + _sentences(self))


def _sentences(report: SyntheticReport) -> list[str]:
    """What the numbers say, one sentence a line."""
    found, users = report.measures, report.users
    ours, again, blind = (found[name] for name in ("synthetic", "resampled", "popularity"))
    lines = [
        f"{users['synthetic']:,} synthetic users against {users['real']:,} real ones:",
        f"- Items: {_percent(ours['item_distance'])} of the interactions would have to move for "
        "every item to come up as often as in the real data (real users drawn again: "
        f"{_percent(again['item_distance'])}).",
        f"- Items that go together: over {users['pairs of items']:,} pairs the lifts correlate "
        f"with the real ones at {ours['pair_correlation']:.2f} (real users drawn again "
        f"{again['pair_correlation']:.2f}, items drawn by popularity "
        f"{blind['pair_correlation']:.2f}).",
        f"- Copies: {_percent(ours['exact_copies'])} have exactly the items of a training user, "
        f"{_percent(ours['near_copies'])} nearly or exactly.",
    ]
    if not report.nearest:
        return [*lines, "- Nobody was held out: of privacy and use nothing can be said."]
    lines += [
        f"- Nearness: a synthetic user is nearer to a training user than a held-out one is in "
        f"{_percent(ours['nearer'])} of comparisons (50 % if they were held-out users themselves, "
        f"{_percent(again['nearer'])} for real users drawn again); {_percent(ours['close'])} are "
        "nearer than 95 in 100 held-out users (5 % expected).",
        _attack_sentence(report),
        f"- Use: a model fitted on them has {report.metric} {ours['use']:.4f} on real users, "
        f"{_percent(report.kept)} of the {found['real']['use']:.4f} of one fitted on real users; "
        f"popular items {report.floor:.4f}, items drawn by popularity {blind['use']:.4f}.",
        "- These are measurements with the attacks named, no proof: nothing here is differentially "
        "private.",
    ]
    return lines


def _attack_sentence(report: SyntheticReport) -> str:
    attacks = report.attacks
    mine: Any = attacks[attacks["of"] == "synthetic"]
    # The surest one: a higher AUC may be the luck of fewer users.
    by, which = ("low", "surest") if (mine["low"] > 0.5).any() else ("auc", "best")
    best: Any = mine.loc[mine[by].idxmax()]
    same = attacks[attacks["attack"] == best["attack"]].set_index("of")["auc"]
    leak = (
        "more than a blind guess: something of who was trained on shows"
        if best["low"] > 0.5
        else "no more than a blind guess"
    )
    return (
        f"- Membership: the {which} of {len(mine)} attacks ({best['attack']}) tells members from "
        f"others with AUC {best['auc']:.3f} ({best['low']:.3f} to {best['high']:.3f}), {leak}. On "
        f"items drawn by popularity, which know nobody, it has {same['popularity']:.3f}, which is "
        f"the luck of who was held out; on real users drawn again {same['resampled']:.3f}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
