"""The tables of docs/choose.md: which model for which data and budget, from the kept results.

python -m evaluation choose            # prints the tables
python -m evaluation choose --write    # and writes them into the page
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from evaluation.kit.tables import read_result

PAGE = Path(__file__).parents[1] / "docs" / "choose.md"
ML1M, GOWALLA, LASTFM = "ml1m_infae", "gowalla", "lastfm_lightgcn"
METRIC = {ML1M: "ndcg@10", LASTFM: "recall@20", GOWALLA: "recall@20"}
SHOWN = {"ndcg@10": "NDCG@10", "recall@20": "Recall@20"}
TITLES = {ML1M: "MovieLens 1M", GOWALLA: "Gowalla", LASTFM: "Last.fm"}


class Row(NamedTuple):
    """A model of the table of costs, and the names of its results in the suites."""

    model: str
    ml1m: str = ""
    lastfm: str = ""
    gowalla: str = ""


ROWS = (
    Row("AutoEnsemble(minutes=60)", "auto-ensemble-60", "", "auto-ensemble-60"),
    Row("AutoEnsemble(minutes=10)", "auto-ensemble-10", "auto-ensemble-10", "auto-ensemble-10"),
    Row("AutoEnsemble(minutes=2)", "auto-ensemble-2", "", "auto-ensemble-2"),
    Row("EDLAE, all settings", "edlae-full"),
    Row("ADMMSLIM", "admm-slim"),
    Row("RDLAE", "rdlae", "rdlae", "rdlae-published"),
    Row("SLIM", "slim"),
    Row("EDLAE", "edlae", "edlae", "edlae-published"),
    Row("GraphFilter", "graph-filter", "graph-filter", "graph-filter"),
    Row("ELSA", "elsa", "elsa", "elsa"),
    Row("EASE", "ease", "ease", "ease-published"),
    Row("SparseEASE", "sparse-ease", "", "sparse-ease"),
    Row("SVDAE", "svd-ae", "svd-ae", "svd-ae-published"),
    Row("InfiniteAE", "infinite-ae"),
    Row("ALS", "als", "als", "als"),
    Row("PureSVD", "pure-svd", "pure-svd"),
    Row("RecVAE", "rec-vae", "rec-vae"),
    Row("MultVAE", "mult-vae", "mult-vae", "mult-vae"),
    Row("MultDAE", "mult-dae", "mult-dae", "mult-dae"),
    Row("BPR", "bpr", "bpr"),
    Row("UserKNN", "user-knn", "user-knn"),
    Row("ItemKNN", "item-knn", "item-knn", "item-knn"),
    Row("Popularity", "popularity", "popularity", "popularity"),
    Row('GraphFilter.preset("cheby-cf")', "", "cheby-cf-published", "cheby-cf-published"),
    Row('GraphFilter.preset("gf-cf")', "", "gf-cf-published", "gf-cf-published"),
    Row('TurboCF.preset("gowalla")', "", "", "turbo-cf-published"),
)
"""By the metric of MovieLens 1M, the highest first; then those without a result on it."""
DECISIONS = (
    (
        "a first model, up to about 50,000 items",
        "EASE",
        (ML1M, "ease"),
        (GOWALLA, "ease-published"),
    ),
    (
        "a little more, for two more settings",
        "RDLAE",
        (ML1M, "rdlae"),
        (GOWALLA, "rdlae-published"),
    ),
    (
        "small or dense data, a fit in seconds",
        "SVDAE",
        (ML1M, "svd-ae"),
        (LASTFM, "svd-ae"),
    ),
    (
        "sparse data, a fit in seconds",
        'GraphFilter.preset("gf-cf")',
        (GOWALLA, "gf-cf-published"),
    ),
    (
        "sparse data, a fit in seconds, the similarities of all items in memory",
        'TurboCF.preset("gowalla")',
        (GOWALLA, "turbo-cf-published"),
    ),
    (
        "sparse data, no items × items matrix",
        'GraphFilter.preset("cheby-cf")',
        (GOWALLA, "cheby-cf-published"),
    ),
    ("a large catalogue in little memory", "SparseEASE", (GOWALLA, "sparse-ease")),
    ("a very large catalogue, factors", "ALS", (ML1M, "als"), (GOWALLA, "als")),
    (
        "only accuracy counts",
        "AutoEnsemble(minutes=10)",
        (ML1M, "auto-ensemble-10"),
        (LASTFM, "auto-ensemble-10"),
        (GOWALLA, "auto-ensemble-10"),
    ),
    ("a deep model", "MultVAE", (ML1M, "mult-vae"), (GOWALLA, "mult-vae")),
    (
        "the floor that every model must beat",
        "Popularity",
        (ML1M, "popularity"),
        (GOWALLA, "popularity"),
    ),
)
"""What somebody has or wants, the model, and the results that show what it reaches."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables, and writes them into the page if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/choose.md")
    if parser.parse_args(argv).write:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print("\n".join(tables().values()))
    return 0


def filled(page: str) -> str:
    """The page with the tables of now between their marks."""
    for name, text in tables().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + text + end + rest.partition(end)[2]
    return page


def tables() -> dict[str, str]:
    """Name of a mark of the page -> the table between it and its end."""
    return {"decisions": decisions(), "costs": costs()}


def decisions() -> str:
    """What somebody wants, the model, and what it reached at what cost."""
    rows = [
        [wanted, f"`{model}`", "; ".join(_measured(*result) for result in results)]
        for wanted, model, *results in DECISIONS
    ]
    return _markdown(["you have or want", "model", "measured"], rows)


def _measured(suite: str, name: str) -> str:
    value, seconds, memory = figures(suite, name)
    return f"{TITLES[suite]}: {SHOWN[METRIC[suite]]} {value}, fit {seconds} s, {memory} GB"


def costs() -> str:
    """Accuracy, seconds of a fit and peak memory of each model on three data sets."""
    head = ["model"]
    for suite, metric in METRIC.items():
        head += [f"{TITLES[suite]}, {SHOWN[metric]}", "fit s", "GB"]
    rows = []
    for model, *names in ROWS:
        cells = [f"`{model}`" if "," not in model else "`EDLAE`, all settings"]
        for suite, name in zip(METRIC, names, strict=True):
            cells += figures(suite, name) if name else ("", "", "")
        rows.append(cells)
    return _markdown(head, rows)


@cache
def figures(suite: str, name: str) -> tuple[str, str, str]:
    """The mean of the metric and the median seconds of a fit over the seeds, and the peak GB."""
    kept: dict[str, Any] = read_result(f"{suite}/{name}")
    values = [report["metrics"][METRIC[suite]]["mean"] for report in kept["reports"]]
    seconds = median(kept["fit_seconds"])  # as in docs/results.md
    return f"{sum(values) / len(values):.4f}", f"{_three(seconds)}", f"{_three(kept['peak_gb'])}"


def _three(number: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
