"""The demo: from the bundled MovieLens to a comparison, a saved model and top-100 lists."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import recae
from evaluation.demo.page import demo_page
from recae.data import Dataset
from recae.evaluation.comparison import verdicts

METRICS = ["ndcg@100", "recall@20", "calibrated_recall@20", "coverage@20"]
HIT = "* a held-out item: the user liked it, and the model did not see it"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all steps and prints where the results are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder to write to")
    out: Path = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)

    title("1. Data: MovieLens latest small (2016 build), ratings of 4 and more")
    dataset, data, split = load_split()
    print(f"read  {dataset.interactions}\nkept  {data}")

    title("2. Split: strong generalisation, as Liang et al. (2018)")
    assert split.test is not None
    print(split)

    title("3. Models: fitted on the training users, evaluated on the test users")
    reports, fitted, chosen_by = {}, {}, {}
    assert split.validation is not None
    for model in MODELS:
        name = type(model).__name__
        started = time.perf_counter()
        fitted[name] = model.fit(split.train, split.validation, seed=0)
        reports[name] = recae.evaluate(model, split.test, METRICS)
        validated = recae.evaluate(model, split.validation, METRICS[0])
        chosen_by[name] = validated.mean[METRICS[0]]
        print(f"{name:<12}{time.perf_counter() - started:6.1f} s   {model}")
    print("\nmean over the test users, with 95 % bootstrap intervals:\n")
    table = recae.report.comparison(reports)
    print(table.to_string())
    best = max(chosen_by, key=lambda name: chosen_by[name])
    said = [
        f"{best} has the highest {METRICS[0]} on the validation users: it is saved below.",
        *verdicts(recae.compare(reports, METRICS[0], baseline=best)),
        f"With only {reports[best].provenance['users']} test users the intervals are wide: the "
        "order of the models is not certain.",
    ]
    print("", *said, sep="\n")

    title("4. Recommendations for three test users")
    lists = lists_of_users(fitted[best], split.test, dataset.items["title"])
    for heading, frame in lists.items():
        width = max(map(len, frame["history"]))
        print(f"\n{heading}\n{'history':<{width}}  recommended")
        for _, row in frame.iterrows():
            print(f"{row['history']:<{width}}  {row['recommended']}")
    print(f"\n{HIT}")

    title("5. Files")
    final = recae.tuning.at_best_epoch(fitted[best]).fit(data, seed=0)
    rows = final.export(out / "top.parquet", data, k=100, overwrite=True)
    final.save(out / "model", overwrite=True)
    recae.report.plot_comparison(reports, "ndcg@100", out / "comparison.png", overwrite=True)
    for name, report in reports.items():
        report.save(out / f"report-{name}.json", overwrite=True)
    entries = [recae.report.Entry(name, [report]) for name, report in reports.items()]
    recae.report.html(entries, out / "report.html", metric=METRICS[0], overwrite=True)
    files = {
        "report.html": "every figure of the comparison",
        "comparison.png": "the comparison as a plot",
        "top.parquet": f"the top 100 of {data.n_users} users",
    }
    page = demo_page(out.resolve(), table, [*said, HIT], lists, files)
    (out / "index.html").write_text(page, encoding="utf-8")
    print(f"{out / 'index.html'}          this demo as a page, with links to what to try next")
    print(f"{out / 'report.html'}         the comparison as a page")
    print(f"{out / 'comparison.png'}      the comparison as a plot")
    print(f"{out / 'report-*.json'}       every report, with its provenance")
    print(
        f"{out / 'model'}/              {best}, fitted on all users: recae.load('{out / 'model'}')"
    )
    print(f"{out / 'top.parquet'}         {rows:,} rows: the top 100 of {data.n_users} users")
    print(NEXT)
    return 0


# Chosen on the validation users of this split: `python -m evaluation demo_settings`.
MODELS: list[recae.Recommender] = [
    recae.Popularity(),
    recae.ALS(alpha=3.0),
    recae.EASE(),
    recae.MultDAE(l2=1e-4),
    recae.MultVAE(),
]

NEXT = """
What to try next
  .venv/bin/recae best YOUR.parquet my-model --seconds 300
  .venv/bin/recae fit YOUR.parquet my-model --user USER_COLUMN --item ITEM_COLUMN
  .venv/bin/recae recommend my-model --history YOUR.parquet --users USER_ID
  .venv/bin/recae evaluate YOUR.parquet --models popularity,ease,mult-vae
  .venv/bin/python -m evaluation          lists the benchmarks"""


def load_split() -> tuple[Dataset, recae.Interactions, recae.data.splits.Split]:
    """The bundled dataset, its filtered interactions, and their split."""
    dataset = recae.load_dataset("ml-latest-small")
    data = dataset.interactions.filter(min_weight=4, min_per_user=5, binarise=True)
    return dataset, data, recae.StrongGeneralization(held_out=0.15).split(data, seed=98765)


def title(text: str) -> None:
    """Prints a heading."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def lists_of_users(
    model: recae.Recommender, fold: recae.Fold, titles: pd.Series
) -> dict[str, pd.DataFrame]:
    """For three users, by a heading: some titles of the history beside those recommended."""
    chosen = fold.history.select_users(
        range(0, fold.history.n_users, fold.history.n_users // 3)[:3]
    )
    liked = chosen.to_frame()
    wanted = fold.target.to_frame()
    top = model.recommend(k=8, history=chosen)
    found = {}
    for user in chosen.users.ids:
        seen = liked.loc[liked["user_id"] == user, "item_id"]
        hidden = set(wanted.loc[wanted["user_id"] == user, "item_id"])
        got = top.loc[top["user_id"] == user, "item_id"]
        left = [titles.get(item, str(item)) for item in seen.sample(8, random_state=0)]
        right = [("* " if item in hidden else "") + titles.get(item, str(item)) for item in got]
        heading = f"User {user}: 8 of {len(seen)} films of the history, and what is recommended"
        found[heading] = pd.DataFrame({"history": left, "recommended": right})
    return found


if __name__ == "__main__":
    raise SystemExit(main())
