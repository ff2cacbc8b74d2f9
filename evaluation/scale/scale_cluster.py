"""Exports the same lists in one process, with Ray, with a worker of Ray killed, and with Spark.

    python -m evaluation scale_cluster [--quick]

Synthetic histories in a data folder; a PureSVD with 64 factors ranks 50 items for each user. Ray
has two workers of one thread each, Spark runs as local[2], and the export of `model.export` has two
threads, so that all have two cores. `seconds` are those of the call; `start_seconds` those that Ray
or Spark takes to start. `overhead` is the time beside that of `model.export`. Every result is
compared with that of `model.export`: `equal` if users and ranks are the same and scores are within
1e-5 of the largest of the list; rows whose item is another one, which are ties then, are counted.
Once 3 parts are complete, one worker is killed with SIGKILL.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import recae
from evaluation.kit.provenance import keep
from recae.recommend.export import run
from recae.scale import map_in_arrow, ray_export

SIZES = {"users": 250_000, "items": 20_000, "k": 50, "latent": 64}
QUICK = {"users": 12_000, "items": 1_000, "k": 20, "latent": 16}
PARTS, HISTORY, CLOSE = 16, 20, 1e-5


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Returns 1 if any lists differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small and without Spark, not kept")
    parser.add_argument("--no-spark", action="store_true", help="leave Spark out")
    asked = parser.parse_args(argv)
    sizes = QUICK if asked.quick else SIZES
    with tempfile.TemporaryDirectory() as name:
        found = measured(Path(name), sizes, spark=not (asked.quick or asked.no_spark))
    print(json.dumps(found, indent=2))
    if not asked.quick:
        print(f"kept in {keep('scale-cluster', found)}")
    return int(not all(one["equal"] for one in found["ways"].values()))


def measured(folder: Path, sizes: dict[str, int], spark: bool) -> dict[str, Any]:
    """The times and the comparisons."""
    plays = histories(sizes["users"], sizes["items"])
    pq.write_table(plays, folder / "plays.parquet")
    data = recae.ingest(plays, folder / "data", progress=False)
    few = data.select_users(np.arange(min(data.n_users, 20_000)))
    model = recae.PureSVD(latent=sizes["latent"]).fit(few, progress=False)
    model.save(folder / "model")
    run.PART_USERS = max(sizes["users"] // PARTS, 1)
    torch.set_num_threads(2)
    ways: dict[str, dict[str, Any]] = {}
    k = sizes["k"]

    def one() -> None:
        recae.load(folder / "model").export(folder / "one", data, k=k, progress=False)

    ways["model.export"] = {"seconds": timed(one), "equal": True}
    if importlib.util.find_spec("ray"):
        ways |= with_ray(folder, k)
    if spark and importlib.util.find_spec("pyspark") and shutil.which("java"):
        ways["spark local[2]"] = with_spark(folder, k)
    for way in ways.values():
        way["users_a_second"] = round(data.n_users / way["seconds"])
        way["overhead"] = round(way["seconds"] / ways["model.export"]["seconds"], 2)
    return {**sizes, "interactions": data.nnz, "ways": ways, "load_average": os.getloadavg()[0]}


def histories(users: int, items: int) -> pa.Table:
    """Some items for each user, popular ones more often; a table with a row for each."""
    rng = np.random.default_rng(0)
    drawn = (rng.random((users, HISTORY)) ** 3 * items).astype(np.int64)
    codes = np.unique((np.arange(users)[:, None] * items + drawn).reshape(-1))
    return pa.table({"user_id": codes // items, "item_id": codes % items})


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


def with_ray(folder: Path, k: int) -> dict[str, dict[str, Any]]:
    """Two workers, undisturbed, and with one killed."""
    import ray

    found: dict[str, dict[str, Any]] = {}
    start = timed(
        lambda: ray.init(
            num_cpus=2,
            object_store_memory=200 << 20,
            include_dashboard=False,
            log_to_driver=False,
        )
    )
    try:
        for name in ("ray, two workers", "ray, one killed"):
            out, killed = folder / name, list[int]()

            def export(out: Path = out) -> None:
                ray_export(folder / "model", out, folder / "data", k, workers=2, progress=False)

            with killing(out, killed) if "killed" in name else nothing():
                seconds = timed(export)
            found[name] = {"start_seconds": start, "seconds": seconds, **compared(folder, out)}
            if "killed" in name:
                found[name]["workers_killed"] = len(killed)
    finally:
        ray.shutdown()
    return found


@contextmanager
def nothing() -> Iterator[None]:
    """Disturbs nobody."""
    yield


@contextmanager
def killing(out: Path, killed: list[int], parts: int = 3) -> Iterator[None]:
    """Kills one worker of Ray once so many parts are there."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02) and not killed:
            with suppress(psutil.Error):  # of a process that has ended meanwhile
                children = psutil.Process().children(recursive=True)
                workers = [one for one in children if "MapWorker" in one.name()]
                if workers and len(list(out.glob("part-*"))) >= parts:
                    workers[0].kill()
                    killed.append(workers[0].pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def with_spark(folder: Path, k: int) -> dict[str, Any]:
    """Two threads of a local Spark."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": str(PARTS),
        "spark.pyspark.python": sys.executable,
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    began = time.perf_counter()
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    start = round(time.perf_counter() - began, 2)
    try:

        def export() -> None:
            plays = session.read.parquet(str(folder / "plays.parquet"))
            lists = map_in_arrow(folder / "model", k)
            items = F.collect_list("item_id").alias("item_id")
            grouped = plays.groupBy("user_id").agg(items)
            grouped.mapInArrow(lists, lists.schema).write.parquet(str(folder / "spark"))

        seconds = timed(export)
    finally:
        session.stop()
    return {"start_seconds": start, "seconds": seconds, **compared(folder, folder / "spark")}


def compared(folder: Path, out: Path) -> dict[str, Any]:
    """Whether the lists are those of `model.export`, and how far the scores differ."""
    wanted, found = (frame(path) for path in (folder / "one", out))
    equal = len(found) == len(wanted) and all(
        bool((found[name] == wanted[name]).all()) for name in ("user_id", "rank")
    )
    if not equal:
        return {"equal": False, "rows": len(found)}
    top = wanted.groupby("user_id")["score"].transform("max").to_numpy()
    apart = np.abs(found["score"].to_numpy() - wanted["score"].to_numpy()) / np.abs(top)
    other = (found["item_id"] != wanted["item_id"]).to_numpy()
    return {
        "equal": bool(apart.max() <= CLOSE),  # so another item has the same score
        "rows": len(found),
        "rows_with_another_item": int(other.sum()),
        "largest_difference_of_scores": float(apart.max()),
    }


def frame(folder: Path) -> pd.DataFrame:
    """The rows of a folder of Parquet files, by user and rank."""
    found: pd.DataFrame = pq.read_table(folder).to_pandas()
    return found.sort_values(["user_id", "rank"], ignore_index=True)
