"""The section of docs/results.md on synthetic users."""

from __future__ import annotations

from typing import Any

from evaluation.kit.tables import Table

WAYS = {
    "mixture, seed 0": "synthetic, seed 0",
    "mixture, seed 1": "synthetic, seed 1",
    "mixture, seed 2": "synthetic, seed 2",
    "mixture, 4 x users": "synthetic, four times as many",
    "posterior": "synthetic, from posteriors of real users",
    "prior": "synthetic, from N(0, 1)",
}
MEASURES = (
    "use",
    "item_distance",
    "length_distance",
    "pair_correlation",
    "pair_slope",
    "nearer",
    "near_copies",
)
HEAD = [
    "users",
    "NDCG@100 of EASE",
    "items apart",
    "lengths apart",
    "pairs: correlation",
    "slope",
    "nearer",
    "near copies",
    "AUC of the best attack",
]


def synthetic(result: dict[str, Any]) -> Table:
    """Title, text, head and rows."""
    first = result["reports"]["mixture, seed 0"]
    rows = [row("real", first, "real"), row("held out of training", first, "held-out")]
    rows += [row(name, result["reports"][key], "synthetic") for key, name in WAYS.items()]
    rows += [row("items by popularity", first, "popularity")]
    rows += [row("real users drawn again", first, "resampled")]
    text = (
        f"`python -m evaluation synthetic_users DATA`. `{result['model']}` on "
        f"{first['users']['real']:,} users of MovieLens 1M, and as many synthetic ones at "
        f"temperature {result['temperature']}, chosen on validation users. EASE is fitted on them "
        f"and tested on {first['users']['held-out']} real users; in parentheses its share of the "
        "metric of EASE fitted on the real users of that seed. Apart: total variation distance of "
        "item popularity and of history lengths. Pairs: lift of item pairs, compared with the "
        "real lift. Nearer: share of synthetic users that are nearer to a training user than a "
        "held-out user is; 0.5 for real users not seen in training. AUC: membership inference, "
        "the best of three attacks, 95 % interval. No differential privacy.\n\n"
        "![Synthetic users](../evaluation/results/synthetic-users.png)"
    )
    return "MovieLens 1M: synthetic users", text, HEAD, rows


def row(name: str, report: dict[str, Any], of: str) -> list[str]:
    """The measures of one kind of users, and the best attack on them."""
    values = [report["measures"][measure][of] for measure in MEASURES]
    attacks = [attack for attack in report["attacks"] if attack["of"] == of]
    told = ""
    if attacks and of != "real":  # of real users themselves there is nothing to infer from
        best = max(attacks, key=lambda attack: attack["auc"])
        told = f"{best['auc']:.3f} [{best['low']:.3f}, {best['high']:.3f}]"
    cells = ["" if value is None else f"{value:.3f}" for value in values]
    if of == "synthetic":
        cells[0] += f" ({report['use']['kept']:.1%})"
    return [name, *cells, told]
