"""The kept results as tables: `docs/results.md` is made of them.

    python -m evaluation tables            # prints docs/results.md
    python -m evaluation tables --write    # and writes it

Every number comes from a file in `evaluation/results/`, which names the command's settings, seeds,
machine and commit. A test compares the document with this output.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from evaluation.applications.embedding_compression.table import compression
from evaluation.applications.fake_profiles.table import injected, labelled
from evaluation.applications.fashion_mnist.table import errors, likelihood
from evaluation.applications.image_codec.table import image_codec
from evaluation.applications.item_map.table import item_map
from evaluation.applications.steering.table import steering
from evaluation.applications.synthetic_users.table import synthetic
from evaluation.kit.provenance import RESULTS
from evaluation.kit.tables import Table, has_result, read_result, section
from evaluation.speed import tables as speed
from evaluation.suites import frontier, published
from evaluation.suites.kept import load_entries
from evaluation.suites.read import read_suite, suite_names
from evaluation.suites.report import in_order

APPLICATIONS: dict[str, Callable[[dict[str, Any]], Table]] = {
    "fashion_mnist_errors": errors,
    "fashion_mnist_likelihood": likelihood,
    "item-map": item_map,
    "image_codec": image_codec,
    "embedding-compression-ml-1m-infae": compression,
    "embedding-compression-gowalla": compression,
    "fake-profiles-labelled": labelled,
    "fake-profiles-injected": injected,
    "synthetic-users": synthetic,
    "steering": steering,
}
"""Name of a stored result -> the maker of its table, in the order of docs/results.md."""

DOCUMENT = Path(__file__).parents[1] / "docs" / "results.md"

PUBLISHED = """## Published figures compared with ours

`python -m evaluation published`. Differences are ours minus theirs; the last columns state whether
they are comparable.
"""

FRONTIER = """## Accuracy against seconds

`python -m evaluation frontier`. The models of each suite that no faster one reaches, by the seconds
of one fit, and by those of the trials up to the chosen setting and a fit. Small steps can be
chance: the paired tests above decide.
"""

PAGE = "the page with plots, training curves and trials."

HEAD = """# Results

Made by `python -m evaluation tables --write` from the files in `evaluation/results/`; each of them
holds settings, trials, seeds, values per user, versions and machine. Two CPU cores and no GPU,
unless stated otherwise. Hyperparameters were chosen on validation data carved from the training
part, and each test was read once for every row. Most runs shared the two cores with other work, so
the seconds are upper bounds.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the document, or writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/results.md")
    text = document()
    if parser.parse_args(argv).write:
        DOCUMENT.write_text(text, encoding="utf-8")
    print(text)
    return 0


def document() -> str:
    """All of docs/results.md."""
    parts = {
        "gowalla-macrid-vae": earlier,
        "ml20m-partial": ml20m,
        "ml1m-ratings": ratings,
        "closed-forms": closed_forms,
        "random-settings": random_settings,
    }
    rest = [make() for name, make in parts.items() if has_result(name)]
    figures = [name for name in published.read() if name in with_results()]
    makers = APPLICATIONS | speed.TABLES
    others = [
        section(*make(read_result(name))) for name, make in makers.items() if has_result(name)
    ]
    parts_of_suites = [*suites(), FRONTIER, *frontiers(), PUBLISHED, published.document(figures)]
    return "\n".join([HEAD, *parts_of_suites, *rest, *others])


def with_results() -> list[str]:
    """The suites that have been run."""
    return [name for name in suite_names() if (RESULTS / name / "report.md").is_file()]


def suites() -> list[str]:
    """The report of every suite that has been run, one level of headings lower."""
    texts = []
    for name in with_results():
        text = (RESULTS / name / "report.md").read_text(encoding="utf-8")
        lower = [f"#{line}" if line.startswith("#") else line for line in text.splitlines()]
        run = f"`python -m evaluation {name} DATA`; `python -m evaluation report {name}` makes"
        texts.append("\n".join([lower[0], "", f"{run} {PAGE}", *lower[1:], ""]))
    return texts


def frontiers() -> list[str]:
    """The frontier of every suite whose pictures were drawn, with them."""
    texts = []
    for name in frontier.with_results():
        if all((RESULTS / name / picture).is_file() for picture in frontier.PICTURES.values()):
            suite = read_suite(name)
            lines = frontier.section(suite, in_order(suite, load_entries(RESULTS / name)))
            pictures = [
                f"![{what}](../evaluation/results/{name}/{frontier.PICTURES[tuned]})"
                for tuned, what in ((False, "One fit"), (True, "Trials and a fit"))
            ]
            texts.append("\n".join([*lines, *pictures, ""]))
    return texts


def earlier() -> str:
    """The result on Gowalla from before the suites, not repeated since: it takes an hour."""
    result = read_result("gowalla-macrid-vae")
    values, published = result["metrics"], result["published"]
    figures = [f"{values[m]:.4f} ({published[m]})" for m in ("recall@20", "ndcg@20")]
    return section(
        "Gowalla, measured before the suites",
        f"At commit {result['provenance']['commit']}, with the settings of the suite `gowalla`; "
        "published figures in parentheses.",
        ["model", "Recall@20", "NDCG@20", "fit"],
        [[_code(result["model"]), *figures, f"{result['fit_seconds']:.0f} s"]],
    )


def ml20m() -> str:
    """The table of ml20m_partial, best first, each row tested against the next."""
    pairs = {(row["a"], row["b"]): row for row in read_result("ml20m-partial")["pairs"]}
    names = list(read_result("ml20m-partial")["metrics"])[::-1]
    rows = []
    for name, below in zip(names, [*names[1:], None], strict=True):
        result = read_result(f"ml20m-partial-{name}")
        metrics, against = result["metrics"], ""
        if below:
            pair = pairs[below, name]
            low, high = -pair["high"], -pair["low"]
            p = "< 0.0001" if pair["p_holm"] < 1e-4 else f"= {pair['p_holm']:.2g}"
            against = f"+{-pair['difference']:.4f} [{low:.4f}, {high:.4f}], p {p}"
        rows.append(
            [
                _code(result["model"]) if name != "ensemble" else "`Ensemble`",
                f"{metrics['ndcg@100']['mean']:.4f}",
                f"{metrics['calibrated_recall@20']['mean']:.4f}",
                f"{metrics['calibrated_recall@50']['mean']:.4f}",
                against,
                f"{result['seconds_of_choosing_and_fitting']:.0f} s",
            ]
        )
    seeds = [
        read_result(f"ml20m-partial-auto-ensemble{seed}")["metrics"]["ndcg@100"]["mean"]
        for seed in ("", "-seed-1", "-seed-2")
    ]
    flagship = (
        f"`AutoEnsemble(minutes=40)`, whose members are then fitted again on all users: "
        f"{', '.join(f'{value:.4f}' for value in seeds)} with three seeds, on average "
        f"{mean(seeds):.4f} (standard deviation {stdev(seeds):.4f})."
    )
    return section(
        "MovieLens 20M, the held-out users of Liang et al.",
        "`python -m evaluation ml20m_partial DATA`: fitted on the 10,000 validation users, tested "
        "on the 10,000 test users; published rows had more training users. Differences are in "
        "NDCG@100 to the next row, with bootstrap intervals and signed-rank tests after Holm's "
        f"correction for all pairs. {flagship}\n\n"
        "![NDCG@100](../evaluation/results/ml20m-partial.png)",
        ["model", "NDCG@100", "Recall@20", "Recall@50", "better than the next by", "seconds"],
        rows,
    )


def ratings() -> str:
    """AutoRec on ratings."""
    result = read_result("ml1m-ratings")
    floor = sum(result["rmse_of_user_and_item_means"]) / len(result["rmse"])
    rows = [
        [_code(result["model"]), f"{result['mean']:.4f}", "0.874 (U-AutoRec)"],
        ["means of user and item", f"{floor:.4f}", ""],
    ]
    return section(
        "MovieLens 1M as ratings",
        "`python -m evaluation ml1m_ratings DATA`; root mean squared error on a random tenth, the "
        f"mean of {len(result['rmse'])} splits.",
        ["model", "RMSE", "published"],
        rows,
    )


def closed_forms() -> str:
    """The cost of closed forms on 40,981 items."""
    rows = [
        [
            _code(fit["model"]),
            f"{fit['seconds']:.0f} s",
            f"{fit['peak_gb']:.2f} GB",
            f"{fit['model_gb']:.2f} GB",
            f"{fit['largest_catalogue']:,}",
            fit["formula"],
        ]
        for fit in read_result("closed-forms")["models"].values()
        if "error" not in fit
    ]
    return section(
        "Closed forms on 40,981 items",
        "`python -m evaluation closed_forms DATA`, each in its own process.",
        ["model", "fit", "peak memory", "fitted", "items in 24 GiB", "formula"],
        rows,
    )


def random_settings() -> str:
    """The outcomes of the random settings of every model."""
    result = read_result("random-settings")
    rows = []
    for name, fits in result["fits"].items():
        kinds = [fit[1] for fit in fits]
        scores = [fit[3] for fit in fits if fit[3] is not None]
        counts = [str(kinds.count(kind)) for kind in ("trained", "warned", "refused", "failed")]
        spread = f"{min(scores):.3f} to {max(scores):.3f}" if scores else ""
        rows.append([name, *counts, spread])
    return section(
        "Random settings",
        f"`python -m evaluation random_settings`: {result['draws']} settings for each model, drawn "
        "from the ranges that its hyperparameters document.",
        ["model", "trained", "warned", "refused", "failed", "NDCG@100"],
        rows,
    )


def _code(model: str) -> str:
    """A model as code, without settings that only concern stopping or precision."""
    idle = ("metric=", "patience=", "precision=")
    name, _, inside = model.removesuffix(")").partition("(")
    kept = [part for part in inside.split(", ") if part and not part.startswith(idle)]
    return f"`{name}({', '.join(kept)})`" if name != "Ensemble" else "`Ensemble`"


if __name__ == "__main__":
    raise SystemExit(main())
