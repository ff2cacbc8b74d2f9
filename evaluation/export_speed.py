"""Export of everybody's top 100: users a second, peak memory, and the check that none was seen.

    python -m evaluation export_speed DATA

DATA holds a train.parquet with the columns user and item. The model is a Mult-VAE after one epoch:
what it learnt changes neither the work nor the check. The file is read back and joined with the
interactions by id, in code that shares nothing with recae.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import recae
from evaluation.provenance import keep, peak_gb


def main(argv: Sequence[str] | None = None) -> int:
    """Fits, exports, reads back and checks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("-k", type=int, default=100)
    options = parser.parse_args(argv)
    path = options.data / "train.parquet"
    data = recae.read_parquet(path, user="user", item="item")
    model = recae.MultVAE(hidden=(600,), latent=200, epochs=1, batch_size=500).fit(data)
    before = peak_gb()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = model.export(Path(folder) / "top.parquet", data, k=options.k)
        seconds = time.perf_counter() - started
        peak = peak_gb()
        top = pd.read_parquet(Path(folder) / "top.parquet")
    seen = top.merge(
        pd.read_parquet(path), left_on=["user_id", "item_id"], right_on=["user", "item"]
    )
    twice = int(top.duplicated(["user_id", "item_id"]).sum())
    rate = data.n_users / seconds
    print(
        f"{rows:,} rows for {top['user_id'].nunique():,} users in {seconds:.1f} s: "
        f"{rate:.0f} users a second"
    )
    print(f"seen items among them: {len(seen)}; repeated items: {twice}")
    print(f"peak memory {peak:.2f} GB ({before:.2f} GB before the export, from training)")
    result = {
        "suite": f"export of the top {options.k}",
        "model": repr(model),
        "data": repr(data),
        "rows": rows,
        "seconds": round(seconds, 2),
        "users_a_second": round(rate, 1),
        "seen_items": len(seen),
        "repeated_items": twice,
        "peak_gb": round(peak, 2),
    }
    print(f"kept in {keep('export-speed', result)}")
    return 0 if not len(seen) and not twice else 1


if __name__ == "__main__":
    raise SystemExit(main())
