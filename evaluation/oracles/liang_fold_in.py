"""Compares our fold-in with the published one: Liang et al. 2018, MovieLens 20M, held-out users.

    python -m evaluation liang_fold_in FOLDER

FOLDER holds valid_in, valid_out, test_in and test_out (user, item) and items (item, movieId) as
Parquet: the output of the authors' notebook, with its renumbered users and items. History and
target of each part are joined and held out again with seed 98765, after both renumberings are
undone: the published random stream runs over users and items in the order of the original ids. The
table has the original id of a movie, but not that of user u. The user's rank among all 136,677
users is entry u of the permutation that the split itself starts with, so agreement also confirms
that permutation.

It also counts how many of a user's n interactions are held out: int(0.2 n) from n = 5 on and none
below. `recae.check_split` must find no leak. The results are written to evaluation/results.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.kit.provenance import keep
from recae.data import Interactions
from recae.data.splits import StrongGeneralization

N_USERS = 136_677  # users of MovieLens 20M with at least five ratings of four stars or more


def compare(folder: Path, part: str) -> tuple[int, int, int]:
    """Number of target pairs in the published part, in ours, and in both."""
    ranks = np.random.RandomState(98765).permutation(N_USERS)
    movies = pd.read_parquet(folder / "items.parquet").set_index("item")["movieId"]

    def read(name: str) -> pd.DataFrame:
        frame = pd.read_parquet(folder / f"{part}_{name}.parquet")
        return frame.assign(user=ranks[frame["user"]], item=frame["item"].map(movies))

    published = read("out")
    whole = pd.concat([read("in"), published])
    fold = StrongGeneralization().fold(Interactions.from_frame(whole, user="user", item="item"))
    ours = fold.target.to_frame()
    both = ours.merge(published, left_on=["user_id", "item_id"], right_on=["user", "item"])
    return len(published), len(ours), len(both)


def structure(folder: Path, part: str) -> dict[str, int]:
    """Number of users of a published part and of their interactions, and of users that follow the
    20 % rule."""
    counts = {
        name: pd.read_parquet(folder / f"{part}_{name}.parquet").groupby("user").size()
        for name in ("in", "out")
    }
    both = pd.DataFrame(counts).fillna(0).astype(int)
    n, hidden = both.sum(axis=1), both["out"]
    rule = np.where(n >= 5, n // 5, 0)  # int(0.2 n), in integers
    return {
        "users": len(both),
        "fold_in": int(both["in"].sum()),
        "targets": int(hidden.sum()),
        "fewest_items_of_a_user": int(n.min()),
        "median_items_of_a_user": int(n.median()),
        "most_items_of_a_user": int(n.max()),
        "users_with_int_0.2_n_targets": int((hidden == rule).sum()),
        "users_under_five_items": int((n < 5).sum()),
        "users_under_five_items_with_a_target": int(((n < 5) & (hidden > 0)).sum()),
    }


def leaks(folder: Path) -> dict[str, int]:
    """The counts of `check_split`, with the validation users as training part."""
    known, hidden, test_in, test_out = (
        pd.read_parquet(folder / f"{name}.parquet").set_axis(["user_id", "item_id"], axis=1)
        for name in ("valid_in", "valid_out", "test_in", "test_out")
    )
    train = pd.concat([known, hidden])
    split = recae.data.splits.fixed_folds(
        train, test_history=test_in, test_target=test_out, items="all"
    )
    return recae.check_split(split)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the comparison. Returns 0 if both parts are as published, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(argv).folder
    equal = True
    kept: dict[str, Any] = {"suite": "ml-20m, held-out users of Liang et al."}
    for part in ("valid", "test"):
        published, ours, both = compare(folder, part)
        equal = equal and published == ours == both
        print(f"{part}: {published:,} published targets, {ours:,} ours, {both:,} in both")
        counts = structure(folder, part)
        print("\n".join(f"    {value:>9,}  {name}" for name, value in counts.items()))
        ruled = counts["users_with_int_0.2_n_targets"] == counts["users"]
        equal = equal and ruled and not counts["users_under_five_items_with_a_target"]
        kept[part] = counts | {"targets_of_ours": ours, "targets_in_both": both}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)  # counted below
        kept["leaks"] = leaks(folder)
    print("leaks, the validation users being the training part")
    print("\n".join(f"    {value:>9,}  {name}" for name, value in kept["leaks"].items()))
    print("exact" if equal else "NOT exact")
    keep("liang-fold-in", kept | {"exact": equal})
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
