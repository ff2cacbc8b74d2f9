"""Exports lists for millions of users: users a second, memory over time, and a check by DuckDB.

    python -m evaluation scale_export [--minutes 30] [--quick]

Synthetic histories of ten million users of 100,000 items are written to disk and memory-mapped. A
PureSVD with 64 factors, fitted on some of the users, exports 100 items for each of them to a folder
of Parquet parts. First two short exports measure users a second on one core and on two; then as
many users are exported on two cores as the minutes allow (`users`), and the time for ten million is
extrapolated from them (`ten_million_hours`). The memory of the exporting process is sampled twenty
times a minute: `heap` is what is no file, `rss` is all, with the pages of the mapped histories.

DuckDB then reads every part and checks that it has k rows for each user, ranks 1 to k in order,
scores that do not rise, no item twice, and no item of the user's history.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import recae
from evaluation.kit.memory import memory
from evaluation.kit.provenance import RESULTS, keep
from evaluation.scale.histories import open_histories, write_histories
from recae.ranking.batches import BLOCK_ROWS, rows_per_batch
from recae.recommend.export.run import sizes as sizes_of
from recae.report.canvas import write
from recae.system.digests import sha256

TEN_MILLION = 10_000_000
SIZES = {"items": 100_000, "k": 100, "latent": 64, "fitted_users": 40_000}
QUICK = {"items": 4_000, "k": 20, "latent": 16, "fitted_users": 5_000}
PAUSE = 3.0
"""Seconds between two samples of the memory."""
AFTER = 0.25
"""The share of the time that is kept for reading the result back."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if DuckDB finds anything wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="(default: %(default)s)")
    parser.add_argument("--users", type=int, default=TEN_MILLION, help="(default: %(default)s)")
    parser.add_argument("--folder", help="where to write, some 10 GB (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="a small export, not kept")
    asked = parser.parse_args(argv)
    sizes = QUICK if asked.quick else SIZES
    users, minutes = (120_000, 0.4) if asked.quick else (asked.users, asked.minutes)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        found = measured(Path(name), users, minutes * 60, sizes, 0.2 if asked.quick else PAUSE)
    print(json.dumps({name: value for name, value in found.items() if name != "samples"}, indent=2))
    if not asked.quick:
        print(f"kept in {keep('scale-export', found)} and {plot(found, RESULTS)}")
    return int(any(found["duckdb"]["wrong"].values()))


def measured(
    folder: Path, users: int, seconds: float, sizes: dict[str, int], pause: float
) -> dict[str, Any]:
    """Makes the histories and the model, exports, and reads the result back."""
    began = time.monotonic()
    histories = folder / "histories"
    nnz = write_histories(histories, users, sizes["items"])
    some = open_histories(histories, sizes["items"], sizes["fitted_users"])
    recae.PureSVD(latent=sizes["latent"]).fit(some, progress=False).save(folder / "model")
    made = time.monotonic() - began
    part = sizes_of(sizes["k"], max(rows_per_batch("auto", sizes["items"]), BLOCK_ROWS))[2]
    short: dict[str, Any] = {}
    for cores in (1, 2):
        out, few = folder / f"short{cores}", min(users, part * (1 + cores))
        short[f"{cores} cores"] = exported(folder, out, few, sizes, cores, pause)["users_a_second"]
    left = (seconds - (time.monotonic() - began)) * (1 - AFTER)
    many = int(min(users, max(short["2 cores"] * left // part, 1) * part))
    found = exported(folder, folder / "lists", many, sizes, 2, pause)
    export = recae.open_export(folder / "lists")
    bytes_ = sum(part["bytes"] for part in export.manifest["parts"])
    started = time.monotonic()
    checked = read_back(export, open_histories(histories, sizes["items"], many))
    return {
        **sizes, "histories": users, "interactions": nnz, "seconds_to_make": round(made, 1),
        "short_users_a_second": short, "users": many, **found,
        "ten_million_hours": round(TEN_MILLION / found["users_a_second"] / 3600, 2),
        "rows": export.rows, "parts": len(export.manifest["parts"]), "bytes": bytes_,
        "bytes_a_row": round(bytes_ / export.rows, 2),
        "ten_million_gb": round(bytes_ / many * TEN_MILLION / 1e9, 1),
        "duckdb": checked | {"seconds": round(time.monotonic() - started, 1)},
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def exported(
    folder: Path, out: Path, users: int, sizes: dict[str, int], cores: int, pause: float
) -> dict[str, Any]:
    """Exports the first users in a process of its own on some cores; samples its memory."""
    code = (
        "import os, sys, time, recae\n"
        "from pathlib import Path\n"
        "from evaluation.scale.histories import open_histories\n"
        "folder, out, users, items, k, cores = (kind(text) for kind, text in zip(\n"
        "    (Path, Path, int, int, int, int), sys.argv[1:], strict=True))\n"
        "if hasattr(os, 'sched_setaffinity'):\n"
        "    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])\n"
        "import torch\n"
        "torch.set_num_threads(cores)\n"
        "model = recae.load(folder / 'model', recae.Recommender)\n"
        "data = open_histories(folder / 'histories', items, users)\n"
        "started, cpu = time.perf_counter(), time.process_time()\n"
        "model.export(out, data, k)\n"
        "print(time.perf_counter() - started, time.process_time() - cpu)\n"
    )
    given = [str(value) for value in (folder, out, users, sizes["items"], sizes["k"], cores)]
    environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *given], stdout=subprocess.PIPE, text=True, env=environment
    )
    began, samples = time.monotonic(), list[dict[str, float]]()
    while process.poll() is None:
        now = time.monotonic()
        try:
            held = memory(process.pid)
            done = len(list(out.glob("part-*.parquet"))) if out.is_dir() else 0
            samples.append(
                {"seconds": round(now - began, 1), "parts": done} | {n: held[n] for n in HELD}
            )
        except OSError:  # it has ended meanwhile
            pass
        time.sleep(max(pause - (time.monotonic() - now), 0.05))
    assert process.stdout is not None
    text = process.stdout.read()
    if process.returncode:
        raise recae.RecaeError(f"the export ended with {process.returncode}")
    seconds, cpu = map(float, text.split())
    running = [one for one in samples if one["parts"]] or samples
    rest = running[len(running) // 4 :]  # the first parts warm up
    return {
        "seconds": round(seconds, 1), "users_a_second": round(users / seconds, 1),
        "cpu_share": round(cpu / seconds / cores, 3),
        "heap_mb": {"median": float(np.median([one["heap"] for one in rest])),
                    "highest": max(one["heap"] for one in samples)},
        "rss_mb": {"median": float(np.median([one["rss"] for one in rest])),
                   "highest": max(one["rss"] for one in samples)},
        "heap_growth": growth(rest, "heap"), "samples": samples[:: max(1, len(samples) // 300)],
    }  # fmt: skip


HELD = ("heap", "rss")


def growth(samples: Sequence[dict[str, float]], kind: str) -> float:
    """The change between the means of the first and the last third of the samples, as a share."""
    third = max(len(samples) // 3, 1)
    first = float(np.mean([one[kind] for one in samples[:third]]))
    return round(float(np.mean([one[kind] for one in samples[-third:]])) / first - 1, 4)


CHECK = """
with rows as (
    select user_id, item_id, score, rank,
           lag(user_id) over () as user_before, lag(score) over () as score_before,
           lag(rank) over () as rank_before
    from read_parquet(?)
)
select count(*), count(*) filter (rank = 1),
       count(*) filter (rank <> 1 and (rank <> rank_before + 1 or user_id <> user_before)),
       count(*) filter (rank = 1 and rank_before is not null
                        and (user_id <= user_before or rank_before <> ?)),
       count(*) filter (rank > 1 and score > score_before),
       count(*) filter (not isfinite(score))
from rows
"""
SEEN = "select count(*) from read_parquet(?) semi join seen using (user_id, item_id)"
TWICE = """
select count(*) from (select user_id * ? + item_id as cell from read_parquet(?)
                      group by cell having count(*) > 1)
"""


def read_back(export: recae.Export, data: recae.Interactions) -> dict[str, Any]:
    """What DuckDB finds in the parts, which it reads one by one."""
    import duckdb

    k, wrong = export.k, dict.fromkeys(
        ("rows", "users", "order of ranks", "order of users", "scores", "numbers", "seen items",
         "items twice", "SHA-256"), 0
    )  # fmt: skip
    users = rows = 0
    with duckdb.connect() as database:
        database.execute("set memory_limit = '2GB'")
        for part in export.manifest["parts"]:
            file = str(export.path / part["file"])
            counts = database.execute(CHECK, [file, k]).fetchall()[0]
            wrong["rows"] += counts[0] != part["users"] * k
            wrong["users"] += counts[1] != part["users"]
            for name, count in zip(list(wrong)[2:6], counts[2:], strict=True):
                wrong[name] += count
            users, rows = users + counts[1], rows + counts[0]
            some = slice(part["first_user"], part["first_user"] + part["users"])
            starts = data.matrix.indptr[some.start : some.stop + 1]
            owners = np.repeat(np.arange(some.start, some.stop), np.diff(starts))
            columns = {"user_id": owners, "item_id": data.matrix.indices[starts[0] : starts[-1]]}
            database.register("seen", pa.table(columns))
            wrong["seen items"] += database.execute(SEEN, [file]).fetchall()[0][0]
            wrong["items twice"] += database.execute(TWICE, [data.n_items, file]).fetchall()[0][0]
            wrong["SHA-256"] += sha256(Path(file)) != part["sha256"]
        pattern = str(export.path / "*.parquet")
        total = database.execute("select count(*) from read_parquet(?)", [pattern]).fetchall()[0][0]
    wrong["users"] += users != export.users
    wrong["rows"] += not rows == total == export.rows
    return {"users": users, "rows": total, "wrong": wrong}


def plot(found: dict[str, Any], folder: Path) -> Path:
    """Draws the memory over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    minutes = [one["seconds"] / 60 for one in found["samples"]]
    for kind, label in (
        ("rss", "resident, with pages of the mapped histories"),
        ("heap", "resident, without files"),
    ):
        axes.plot(minutes, [one[kind] for one in found["samples"]], label=label)
    axes.set(xlabel="minutes", ylabel="MB", ylim=(0, None), xlim=(0, None))
    axes.set_title(
        f"Export of {found['users']:,} users x {found['items']:,} items, k={found['k']}: "
        f"{found['users_a_second']:,.0f} users a second",
        fontsize=10,
    )
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return write(figure, folder / "scale-export.png", overwrite=True)


if __name__ == "__main__":
    raise SystemExit(main())
