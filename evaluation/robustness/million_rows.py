"""Checks a million recommended rows of all models with pandas joins that share no code with recae.

    python -m evaluation million_rows

Ten random tables have numbers or text as ids, skewed popularity, weights, users with nearly every
item, and two groups of users without a common item. Every model gets random k, whitelists and
blacklists. Each list is checked in pandas: no seen item, no excluded item, no unknown id, no
repeated item, ranks 1..n, scores in descending order, and as many rows as possible. Every score is
compared with the score of `model.score` in the id's column. Returns 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.kit.provenance import keep
from evaluation.robustness.concurrency import model

PAIR = ["user_id", "item_id"]


def table(number: int, rng: np.random.Generator) -> pd.DataFrame:
    """A random table of interactions. The order of the ids carries no information."""
    users, items = int(rng.integers(300, 900)), int(rng.integers(60, 900))
    popularity = rng.permutation(np.arange(1, items + 1)) ** -rng.uniform(0.3, 1.2)
    group = rng.integers(0, 2, items)
    rows = []
    for user in range(users):
        chance = popularity * (group == user % 2) if number % 3 == 0 else popularity
        possible = int((chance > 0).sum())
        n = possible if user % 97 == 5 else min(int(rng.geometric(0.06)), possible)
        rows.append(rng.choice(items, n, replace=False, p=chance / chance.sum()))
    item_codes = np.concatenate(rows)
    user_codes = np.repeat(np.arange(users), [len(row) for row in rows])
    user_ids, item_ids = rng.permutation(10**6)[:users], rng.permutation(10**6)[:items]
    frame = pd.DataFrame({"user_id": user_ids[user_codes], "item_id": item_ids[item_codes]})
    if number % 2:
        frame = frame.map("id-{}".format)
    if number % 4 < 2:
        frame["weight"] = rng.integers(1, 6, len(frame)).astype(float)
    return frame.sample(frac=1, random_state=number).reset_index(drop=True)


def wrong(
    frame: pd.DataFrame, top: pd.DataFrame, scores: pd.DataFrame, k: int, allowed: set[Any]
) -> dict[str, int]:
    """The number of rows that break each rule."""
    seen = frame[PAIR]
    finite = np.isfinite(scores.to_numpy())
    room = pd.Series(
        (finite[:, scores.columns.isin(list(allowed))]).sum(axis=1), index=scores.index
    )
    among = seen[seen["item_id"].isin(list(allowed))]
    at = scores.index.get_indexer(among["user_id"]), scores.columns.get_indexer(among["item_id"])
    taken = among[finite[at]].groupby("user_id").size().reindex(scores.index, fill_value=0)
    expected = (room - taken).clip(upper=k)
    found = top.groupby("user_id").size().reindex(scores.index, fill_value=0)
    given = scores.to_numpy()[
        scores.index.get_indexer(top["user_id"]), scores.columns.get_indexer(top["item_id"])
    ]
    lists = top.groupby("user_id")
    return {
        "seen": len(top.merge(seen, on=PAIR)),
        "excluded": int((~top["item_id"].isin(list(allowed))).sum()),
        "unknown id": int((~top["item_id"].isin(frame["item_id"])).sum()),
        "item twice": int(top.duplicated(PAIR).sum()),
        "wrong score": int((top["score"].to_numpy() != given).sum()),
        "wrong rank": int((top["rank"] != lists.cumcount() + 1).sum()),
        "score rises": int((lists["score"].diff() > 0).sum()),
        "wrong length": int((found != expected).sum()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Makes tables, fits, recommends, checks and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000, help="at least, in all")
    options = parser.parse_args(argv)
    started, rows, lists = time.perf_counter(), 0, 0
    total: dict[str, int] = {}
    per_model = dict.fromkeys(recae.MODELS, 0)
    rng = np.random.default_rng(0)
    for number in range(options.tables):
        frame = table(number, rng)
        history = recae.Interactions.from_frame(frame)
        print(f"table {number}: {history}", flush=True)
        for name in recae.MODELS:
            fitted = model(name).fit(frame, seed=number, progress=False)
            # The columns of `score` by id: the reference for the lists.
            scores = pd.DataFrame(
                fitted.score(history), index=history.users.ids, columns=fitted.items_.ids
            )
            for _ in range(3):
                k = int(rng.integers(1, 120))
                ids = np.unique(frame["item_id"].to_numpy())
                some, none = (rng.choice(ids, len(ids) // n, replace=False) for n in (2, 10))
                choice = {"items": some, "exclude_items": none}
                choice = {key: value for key, value in choice.items() if rng.random() < 0.5}
                allowed = set(choice.get("items", ids)) - set(choice.get("exclude_items", []))
                top = fitted.recommend(k=k, batch_size=int(rng.integers(1, 500)), **choice)
                for rule, count in wrong(frame, top, scores, k, allowed).items():
                    total[rule] = total.get(rule, 0) + count
                rows, lists = rows + len(top), lists + history.n_users
                per_model[name] += len(top)
    print(f"\n{rows:,} rows in {lists:,} lists, {time.perf_counter() - started:.0f} s")
    print(", ".join(f"{name} {count:,}" for name, count in per_model.items()))
    for rule, count in total.items():
        print(f"  {rule:<13} {count}")
    result = {"suite": "a million rows", "rows": rows, "per_model": per_model, "wrong": total}
    print(f"kept in {keep('million-rows', result)}")
    return 0 if rows >= options.rows and not any(total.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
