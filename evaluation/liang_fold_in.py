"""Does our fold-in equal the published one? Liang et al. 2018, MovieLens 20M, held-out users.

    python -m evaluation.liang_fold_in FOLDER

FOLDER holds valid_in, valid_out, test_in and test_out (user, item) and items (item, movieId) as
Parquet: what the authors' notebook writes, with its renumbered users and items. History and target
of each part are joined and hidden anew with seed 98765, after undoing both renumberings: the
published stream runs over users and items in the order of the original ids. The original id of a
movie is in the table; that of user u is not, but its rank among all 136,677 users is entry u of
the permutation that the split itself starts with, so agreement confirms that permutation as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recae.data import Interactions
from recae.splits import StrongGeneralization

N_USERS = 136_677  # users of MovieLens 20M with at least five ratings of four stars or more


def compare(folder: Path, part: str) -> tuple[int, int, int]:
    """Target pairs of the published part, of ours, and those in both."""
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


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the comparison; 0 if both parts are equal, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(argv).folder
    equal = True
    for part in ("valid", "test"):
        published, ours, both = compare(folder, part)
        equal = equal and published == ours == both
        print(f"{part}: {published:,} published targets, {ours:,} ours, {both:,} in both")
    print("exact" if equal else "NOT exact")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
