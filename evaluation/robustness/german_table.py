"""Writes Last.fm HetRec as a German spreadsheet saves it, with the mess of real tables.

    python -m evaluation german_table OUT [--tables FOLDER]
    recae fit OUT/hoerer.csv OUT/model --user Listener --item "Artist ID" --weight Plays ...

OUT/hoerer.csv: a byte order mark, semicolons, decimal commas and dates such as 07.04.2011 15:58. 40
rows have no listener, 25 no number of plays, 10 a negative one, 30 no date, 200 are repeated, and
the last row is a total. OUT/artists.csv: number, name and address of the artists. The data set has
no times, so they are drawn.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import recae

FAULTS = {"Listener": (40, ""), "Plays": (25, "n/a"), "Last played": (30, "unknown")}
NEGATIVE, REPEATED = 10, 200


def german(plays: pd.DataFrame, names: pd.Series, seed: int = 0) -> pd.DataFrame:
    """The table of plays (user_id, item_id, weight) with names by item_id; all columns are text."""
    rng = np.random.default_rng(seed)
    minutes = rng.integers(0, 4 * 365 * 24 * 60, len(plays))
    start = datetime.datetime(2007, 4, 7, 15, 58)
    days = [start + datetime.timedelta(minutes=int(minute)) for minute in minutes]
    table = pd.DataFrame(
        {
            "Listener": [f"L-{user:05d}" for user in plays["user_id"]],
            "Artist ID": [f"art/{item}" for item in plays["item_id"]],
            "Artist": plays["item_id"].map(names).fillna("").to_numpy(),
            "Plays": [f"{weight:.1f}".replace(".", ",") for weight in plays["weight"]],
            "Last played": [f"{day:%d.%m.%Y %H:%M}" for day in days],
        }
    )
    repeated = table.iloc[rng.choice(len(table), REPEATED, replace=False)]
    table = pd.concat([table, repeated], ignore_index=True)
    total = sum(count for count, _ in FAULTS.values()) + NEGATIVE
    rows = iter(np.split(rng.permutation(len(table))[:total], np.cumsum([40, 25, 30])))
    for column, (_, value) in FAULTS.items():
        table.loc[next(rows), column] = value
    table.loc[next(rows), "Plays"] = "-1,0"
    sums = {"Listener": "TOTAL", "Plays": f"{plays['weight'].sum():.1f}".replace(".", ",")}
    return pd.concat([table, pd.DataFrame([sums])], ignore_index=True).fillna("")


def main(argv: Sequence[str] | None = None) -> int:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument(
        "--tables", type=Path, help="folder with user_artists.parquet and artists.parquet"
    )
    args = parser.parse_args(argv)
    if args.tables is None:
        data = recae.load_dataset("lastfm-hetrec")
        plays, artists = data.interactions.to_frame(), data.items.reset_index()
    else:
        plays = pd.read_parquet(args.tables / "user_artists.parquet")
        artists = pd.read_parquet(args.tables / "artists.parquet")
    plays.columns = ["user_id", "item_id", "weight", *plays.columns[3:]]
    names, urls = artists.iloc[:, 1].astype(str), artists.iloc[:, 2].astype(str)
    numbers = artists.iloc[:, 0]
    args.out.mkdir(parents=True, exist_ok=True)
    table = german(plays, pd.Series(names.to_numpy(), index=numbers))
    table.to_csv(args.out / "hoerer.csv", sep=";", index=False, encoding="utf-8-sig")
    titles = pd.DataFrame({"nr": [f"art/{n}" for n in numbers], "name": names, "url": urls})
    titles.to_csv(args.out / "artists.csv", sep=";", index=False, encoding="utf-8-sig")
    print(f"{len(table):,} rows in {args.out / 'hoerer.csv'}")
    return 0
