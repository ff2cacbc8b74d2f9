"""Steering by tastes on MovieLens 1M: names of units, dose and response, and loss of NDCG.

    python -m evaluation steering DATA

DATA holds the folders ml-1m_infae (train, valid and test.parquet) and ml-1m (movies.parquet, with
titles and genres). MultVAE is fitted on train with early stopping on valid. The number of units,
and of active units per user, are those that raise the share of each genre in the top 10 most before
NDCG@10 on valid has lost 1 %. Every dose is chosen the same way, also for the baselines. The ten
units shown are those with the clearest genres, one per genre, among units that at least 3 % of
users have. At the test, history and mask are train and valid together, all users count, and every
user is steered by each of the ten units. Baselines: the axis of PCA, or the raw dimension of the
code, with either sign, whose first 20 items have the genre most often; random directions for the
coherence of units; and a bonus on the score of every item of the genre, which uses the genres.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.applications.steering.lab import Lab
from evaluation.applications.steering.picture import draw
from evaluation.kit.provenance import RESULTS, keep

MODEL = {"epochs": 80, "patience": 6, "batch_size": 200, "beta": 0.3, "metric": "ndcg@10"}
UNITS, RAREST = 10, 0.03


def main(argv: Sequence[str] | None = None) -> int:
    """Chooses on valid, measures on test, prints, stores a JSON and a plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with ml-1m_infae and ml-1m")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    split, movies = read(options.data)
    assert split.validation is not None and split.test is not None
    model = recae.MultVAE(**MODEL).fit(split.train, split.validation, seed=options.seed)
    lab = Lab(model, split, movies, options.seed)

    tastes, trials = lab.choose()
    named = tastes.name(movies)
    ten = clearest(named)
    print(f"{tastes}, explaining {tastes.explained:.3f} of the codes' variance")
    for unit in ten:
        print(f"  {unit:3d}  {named['share'][unit]:.3f} of users  {named['name'][unit]}")
    curves, small = lab.steer(tastes, named, ten)
    compared = lab.compare(tastes, named, ten)
    pieces = lab.pieces(tastes)
    result = {
        "suite": "steering by tastes",
        "data": repr(split.train),
        "model": repr(model),
        "seed": options.seed,
        "trials": trials,
        "chosen": {"units": tastes.dictionary.latent, "active": tastes.dictionary.active},
        "explained": tastes.explained,
        "dead": tastes.dead,
        "units": [one(named, unit) for unit in ten],
        "small": small,
        "curves": curves,
        "at_budget": compared,
        "of_one_piece": pieces,
        "agreement_of_seeds": lab.agreement(tastes),
    }
    print(f"kept in {keep('steering', result)}")
    draw(result, RESULTS / "steering.png")
    return 0


def read(folder: Path) -> tuple[recae.data.splits.Split, pd.DataFrame]:
    """The split, and a frame with item_id, title and genres."""
    columns = {"user": "user", "item": "item", "weight": "rating"}
    parts = {
        name: recae.read_parquet(folder / "ml-1m_infae" / f"{name}.parquet", **columns)
        for name in ("train", "valid", "test")
    }
    split = recae.fixed_split(parts["train"], test=parts["test"], validation=parts["valid"])
    movies = pd.read_parquet(folder / "ml-1m" / "movies.parquet")
    return split, movies.rename(columns={"item": "item_id"})


def clearest(named: pd.DataFrame) -> list[int]:
    """The units whose first 20 items are most specific to a genre, one per genre, the clearest
    first."""
    enough = named[(named["share"] >= RAREST) & named["genre"].notna()]
    clarity = enough["precision"] * np.log(enough["lift"])
    best = enough.assign(clarity=clarity).sort_values("clarity", ascending=False)
    return best.drop_duplicates("genre")["unit"].head(UNITS).tolist()


def one(named: pd.DataFrame, unit: int) -> dict[str, Any]:
    """A row of the table of names, ready for JSON."""
    row: dict[str, Any] = named.loc[unit].to_dict()
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}


if __name__ == "__main__":
    raise SystemExit(main())
