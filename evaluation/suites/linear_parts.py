"""What each part of the linear family buys: chosen on validation, one part after the other.

    python -m evaluation linear_parts ml-1m_infae/

DATA holds train.parquet with the columns user and item, and valid.parquet; without that a tenth of
each user's training pairs is held out. Every row starts at the best setting of the row before, and
searches its new hyperparameter and the ridge on the validation pairs (history and mask: train). The
first row has a range of `l2` made for MovieLens; all others have the one range of `relative_l2`.
The best value of a search is biased upwards: measure what you keep on a test.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recae
from evaluation.kit.provenance import keep

PARTS: list[tuple[str, type[recae.Recommender], dict[str, Any]]] = [
    ("EASE, l2", recae.EASE, {"l2": (10.0, 10_000.0)}),
    ("EASE, relative l2", recae.EASE, {}),
    ("+ user power", recae.EASE, {"user_power": (0.0, 0.5)}),
    ("+ output power", recae.EASE, {"output_power": (-0.2, 0.5)}),
    ("+ input power", recae.EASE, {"input_power": (-0.4, 0.4)}),
    ("+ item power", recae.EASE, {"item_power": (0.0, 0.5)}),
    ("+ dropout", recae.EDLAE, {"dropout": (0.0, 0.8)}),
    ("+ emphasis", recae.EDLAE, {"kept_weight": (0.0, 1.0)}),
]
RIDGE = {"relative_l2": (0.1, 30.0)}


def searched(
    train: recae.Interactions, validation: recae.Fold, metric: str, trials: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each part: its best value on validation and its setting. Prints each."""
    rows: list[dict[str, Any]] = []
    setting: dict[str, Any] = {"precision": "float32"}
    for name, make, part in PARTS:
        space = part if "l2" in part else RIDGE | part
        if name == "+ dropout":
            setting |= {"dropout": 0.0}
        start = setting if rows else setting | {"l2": 200.0}
        if name == "EASE, relative l2":
            start = {"precision": "float32", "relative_l2": 3.0}
        found = recae.tune(
            make(**start), train, validation, metric, trials=trials, space=space, seed=seed
        )
        setting = start | found.params
        changed = {key: value for key, value in setting.items() if key != "precision"}
        gain = found.value - rows[-1][metric] if rows else 0.0
        print(f"{name:<18} {found.value:.4f} {gain:+.4f}  {changed}", flush=True)
        rows.append({"part": name, metric: found.value, "setting": changed})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each part and writes linear-parts-DATA.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with train.parquet and valid.parquet")
    parser.add_argument("--metric", default="ndcg@10")
    parser.add_argument("--trials", type=int, default=12, help="settings tried in each row")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    train = recae.read_parquet(options.data / "train.parquet", user="user", item="item")
    if (options.data / "valid.parquet").is_file():
        valid = recae.read_parquet(options.data / "valid.parquet", user="user", item="item")
        fold = recae.fixed_split(train, test=valid).test
    else:
        split = recae.data.splits.holdout_pairs(train, 0.1, seed=options.seed)
        train, fold = split.train, split.validation
    assert fold is not None
    print(f"{fold}\nvalidation {options.metric}", flush=True)
    rows = searched(train, fold, options.metric, options.trials, options.seed)
    about = {"data": repr(fold), "trials": options.trials, "seed": options.seed, "rows": rows}
    keep(f"linear-parts-{options.data.resolve().name}", about)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
