"""Does our fold-in equal the published one? Liang et al. 2018, MovieLens 20M, held-out users.

    python -m evaluation.liang_fold_in FOLDER

FOLDER holds valid_in, valid_out, test_in and test_out (user, item) and items (item, movieId) as
Parquet: what the authors' notebook writes, with its renumbered items. History and target of each
part are joined, put in the order of the original movie ids, and hidden anew with seed 98765.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from recae.data import Interactions
from recae.splits import StrongGeneralization


def compare(folder: Path, part: str) -> tuple[int, int, int]:
    """Target pairs of the published part, of ours, and those in both."""
    movies = pd.read_parquet(folder / "items.parquet").set_index("item")["movieId"]

    def read(name: str) -> pd.DataFrame:
        frame = pd.read_parquet(folder / f"{part}_{name}.parquet")
        return frame.assign(item=frame["item"].map(movies))

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
