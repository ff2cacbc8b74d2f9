"""SyntheticReport: the measures of synthetic users as tables, text and a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recae.errors import explained
from recae.report.canvas import COLOURS, canvas, write
from recae.system.files import PICTURES, check_target

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
NAMES = {
    "held-out": "held-out users",
    "synthetic": "synthetic users",
    "popularity": "items by popularity",
    "resampled": "real users again",
}
COLOUR = dict(zip(NAMES, (COLOURS[6], COLOURS[0], COLOURS[1], COLOURS[2]), strict=True))
DASH = {"held-out": "--", "synthetic": "-", "popularity": ":", "resampled": "-."}


@explained
@dataclass(frozen=True)
class SyntheticReport:
    """The result of `synthetic_report`.

    users: the number of each kind, and of pairs of items; metric: of the downstream models.
    measures: a frame with a row for each measure (`item_distance`, ..., `use`) and the columns
    real, held-out, synthetic, popularity, resampled, NaN if undefined. attacks: a frame with the
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
    """The metric of recommending the most popular items; NaN without held-out users."""

    @property
    def kept(self) -> float:
        """The metric of a model fitted on synthetic users, divided by that of one fitted on real
        users.

        NaN without held-out users, or if the divisor is 0.
        """
        real, ours = (float(self.measures[name]["use"]) for name in ("real", "synthetic"))
        return ours / real if real else float("nan")

    def summary(self) -> dict[str, Any]:
        """The report without the frame of items and the similarities, ready for JSON.

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

    def plot(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Plots marginals, nearest neighbours and the usefulness of each kind of users as a PNG.

        overwrite: replace a file that is there. Returns the path. Raises ConfigError without
        matplotlib and for an ending other than .png, StorageError if the file cannot be written.

        >>> recae.apply.generate.synthetic_report(data, data).plot("synthetic.png").name
        'synthetic.png'
        """
        check_target(path, overwrite=overwrite, endings=PICTURES)
        panels = [_plot_marginals, _plot_neighbours, _plot_use]
        panels = panels if self.nearest else panels[:1]
        figure, axes = canvas(3.9 * len(panels), 3.5, layout="constrained")
        axes.remove()
        for panel, axes in zip(
            panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True
        ):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.3)
            panel(self, axes)
        return write(figure, path, overwrite=overwrite)

    def __str__(self) -> str:
        """The measures, the membership attacks and the sentences on them, as text."""
        table = self.measures.rename(index=MEASURES | {"use": f"{self.metric}: {MEASURES['use']}"})
        table = table.dropna(how="all").dropna(how="all", axis=1)
        text = table.map(lambda value: "" if np.isnan(value) else f"{value:.4g}").to_string()
        lines = [text, ""]
        if len(self.attacks):
            shown = self.attacks.pivot(index="attack", columns="of", values="auc")
            shown = shown[[name for name in COLUMNS if name in shown]]
            shown.index.name = shown.columns.name = None
            lines += ["Membership inference: AUC of each attack; 0.5 is chance:"]
            lines += [shown.to_string(float_format="%.3f"), ""]
        return "\n".join(lines + _sentences(self))


def _sentences(report: SyntheticReport) -> list[str]:
    """The main results, one sentence a line."""
    found, users = report.measures, report.users
    ours, again, blind = (found[name] for name in ("synthetic", "resampled", "popularity"))
    lines = [
        f"{users['synthetic']:,} synthetic users compared with {users['real']:,} real users:",
        f"- Item popularity: total variation distance {_percent(ours['item_distance'])} from the "
        f"real data (a bootstrap sample of the real users: {_percent(again['item_distance'])}).",
        f"- Item pairs: over {users['pairs of items']:,} pairs, log lift correlates with the real "
        f"data at {ours['pair_correlation']:.2f} (bootstrap sample "
        f"{again['pair_correlation']:.2f}, items drawn by popularity "
        f"{blind['pair_correlation']:.2f}).",
        f"- Copies: {_percent(ours['exact_copies'])} of the synthetic users have exactly the items "
        f"of a training user, {_percent(ours['near_copies'])} nearly or exactly.",
    ]
    if not report.nearest:
        return [*lines, "- Without held-out users, privacy and usefulness are not measured."]
    lines += [
        f"- Nearest neighbours: a synthetic user is nearer to a training user than a held-out user "
        f"is in {_percent(ours['nearer'])} of comparisons (50 % for real users not seen in "
        f"training, {_percent(again['nearer'])} for a bootstrap sample). "
        f"{_percent(ours['close'])} are nearer than 95 % of the held-out users (5 % expected).",
        _attack_sentence(report),
        f"- Usefulness: a model fitted on the synthetic users reaches {report.metric} "
        f"{ours['use']:.4f} on real users. That is {_percent(report.kept)} of the "
        f"{found['real']['use']:.4f} of a model fitted on real users. Baselines: popular items "
        f"{report.floor:.4f}, items drawn by popularity {blind['use']:.4f}.",
        "- These are measurements with the attacks named, not a proof of differential privacy.",
    ]
    return lines


def _attack_sentence(report: SyntheticReport) -> str:
    """What the surest attack tells: its AUC with the interval, beside that on popular items, which
    depend on no single user, and that on a bootstrap sample of real users."""
    attacks = report.attacks
    mine: Any = attacks[attacks["of"] == "synthetic"]
    # The attack with the highest lower bound: a higher AUC may be chance among fewer users.
    by, which = ("low", "surest") if (mine["low"] > 0.5).any() else ("auc", "best")
    best: Any = mine.loc[mine[by].idxmax()]
    same = attacks[attacks["attack"] == best["attack"]].set_index("of")["auc"]
    leak = (
        "better than chance: membership in the training data leaks"
        if best["low"] > 0.5
        else "not better than chance"
    )
    return (
        f"- Membership inference: the {which} of {len(mine)} attacks ({best['attack']}) has AUC "
        f"{best['auc']:.3f} ({best['low']:.3f} to {best['high']:.3f}), {leak}. It has "
        f"{same['popularity']:.3f} on items drawn by popularity, which depend on no single user, "
        f"and {same['resampled']:.3f} on a bootstrap sample of real users."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plot_marginals(report: SyntheticReport, axes: Any) -> None:
    real, ours = report.items["real"], report.items["synthetic"]
    some = (real > 0) & (ours > 0)
    axes.plot(real[some], ours[some], ".", color=COLOUR["synthetic"], markersize=2)
    ends = [float(real[some].min()), float(real[some].max())]
    axes.plot(ends, ends, color=COLOURS[6], linewidth=1)
    axes.set(xscale="log", yscale="log", title="How often each item comes up")
    axes.set_xlabel("share of real interactions")
    axes.set_ylabel("share of synthetic interactions")


def _plot_neighbours(report: SyntheticReport, axes: Any) -> None:
    """Histograms of the similarity to the nearest training user. Those of the bootstrap sample,
    which are copies, do not set the height of the axis."""
    edges = np.linspace(0, 1, 51)
    highest = 0.0
    for name, dash in DASH.items():
        counts, _ = np.histogram(report.nearest[name], bins=edges)
        shares = counts / counts.sum()
        axes.stairs(shares, edges, color=COLOUR[name], linestyle=dash, label=NAMES[name])
        if name != "resampled":  # copies are all at 1, beyond the axis
            highest = max(highest, float(shares.max()))
    axes.set(title="The nearest training user", ylim=(0, 1.4 * highest))
    axes.set_xlabel("Jaccard similarity to it (1: a copy)")
    axes.set_ylabel("share of users")
    axes.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(0.92, 1))


def _plot_use(report: SyntheticReport, axes: Any) -> None:
    """Bars of the metric of models fitted on each kind of users, and a line for popular items."""
    use = report.measures.loc["use"]
    bars = [("real users", use["real"], COLOURS[6])]
    bars += [(NAMES[n], use[n], COLOUR[n]) for n in ("resampled", "synthetic", "popularity")]
    for place, (_, value, colour) in enumerate(bars):
        axes.bar(place, value, color=colour, width=0.65)
        axes.text(place, value, f"{value:.3f}", ha="center", va="bottom", fontsize=8)
    axes.axhline(report.floor, color="black", linewidth=1, linestyle=":")
    axes.set_xlim(-0.5, len(bars) + 0.1)
    axes.text(len(bars) + 0.1, report.floor, "popular\nitems", ha="right", va="bottom", fontsize=8)
    axes.set_xticks(range(len(bars)), [name.replace(" ", "\n", 1) for name, *_ in bars], fontsize=8)
    axes.set_ylabel(f"{report.metric} on real held-out users")
    axes.set_title("A model fitted on them")
