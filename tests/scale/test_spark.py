"""Spark in local mode gives the lists of one machine. Slow: a JVM is started."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from recae.scale import map_in_arrow

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Spark warns of pandas 3


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="the extra spark is not installed")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Java is not installed (apt-get install default-jre-headless)")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.pyspark.python": sys.executable,
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def test_the_lists_are_those_of_one_machine(
    spark: Any, int_frame: pd.DataFrame, text_frame: pd.DataFrame, tmp_path: Path
) -> None:
    from pyspark.sql import functions as F

    for frame, kind in ((int_frame[["user_id", "item_id"]], "int"), (text_frame, "text")):
        model = recae.EASE().fit(frame)
        path = model.save(tmp_path / kind)
        model.export(tmp_path / f"{kind}.parquet", frame, k=5)
        wanted = pd.read_parquet(tmp_path / f"{kind}.parquet")
        frame.to_parquet(tmp_path / f"{kind} plays.parquet")
        plays = spark.read.parquet(str(tmp_path / f"{kind} plays.parquet"))
        histories = plays.groupBy("user_id").agg(F.collect_list("item_id").alias("item_id"))
        lists = map_in_arrow(path, 5, user_ids=kind)
        histories.mapInArrow(lists, lists.schema).write.parquet(str(tmp_path / f"{kind} lists"))
        found = pd.read_parquet(tmp_path / f"{kind} lists")
        found = found.set_index(["user_id", "rank"]).loc[
            pd.MultiIndex.from_frame(wanted[["user_id", "rank"]])
        ]
        assert len(found) == len(wanted)
        assert found["item_id"].tolist() == wanted["item_id"].tolist()
        assert np.allclose(found["score"], wanted["score"], rtol=1e-5, atol=0)
    other = map_in_arrow(path, 5, user_ids="int")
    with pytest.raises(Exception, match="user_ids"):
        histories.mapInArrow(other, other.schema).count()
    shutil.rmtree(path)
    with pytest.raises(Exception, match="text"):
        histories.mapInArrow(lists, lists.schema).count()


def test_a_worker_computes_with_the_threads_of_its_task(spark: Any) -> None:
    def threads(batches: Any) -> Any:
        import torch

        for batch in batches:
            yield pa.RecordBatch.from_pydict({"n": [torch.get_num_threads()] * len(batch)})

    assert {row.n for row in spark.range(4).mapInArrow(threads, "n bigint").collect()} == {1}
