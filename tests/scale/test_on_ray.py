"""An export by the workers of Ray is that of one machine, byte by byte.

Most tests run with `InPlace`, which calls the worker in this process; those that are marked slow
start Ray with two workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from recae.errors import StorageError
from recae.recommend.export import run
from recae.recommend.rules import Rules
from recae.scale import on_ray, processes, ray_export
from tests.gpu.pretend import PretendGPU

USERS = 60


@pytest.fixture(scope="module")
def plays() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    pairs = np.unique(rng.integers([USERS, 20], size=(USERS * 6, 2)), axis=0)
    return pd.DataFrame({"user_id": pairs[:, 0] * 2, "item_id": pairs[:, 1] + 100})


@pytest.fixture(scope="module")
def saved(plays: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recae.EASE(l2=3).fit(plays).save(tmp_path_factory.mktemp("shared") / "a model")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen users in a part: there are four."""
    monkeypatch.setattr(run, "PART_USERS", 16)


class InPlace:
    """What `ray_export` uses of Ray, in this process. `before` is called before each part."""

    exceptions = SimpleNamespace(RayError=ZeroDivisionError)

    def __init__(self) -> None:
        self.before: Any = lambda part: None
        self.parts: list[int] = []
        context = SimpleNamespace(enable_progress_bars=True)
        self.data = SimpleNamespace(
            ActorPoolStrategy=SimpleNamespace,
            DataContext=SimpleNamespace(get_current=lambda: context),
            from_arrow=self.from_arrow,
        )

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}]

    def put(self, value: Any) -> Any:
        return pickle.dumps(value)

    def get(self, values: list[Any]) -> list[Any]:
        return [pickle.loads(value) for value in values]

    def from_arrow(self, tables: list[pa.Table]) -> Any:
        return SimpleNamespace(map_batches=lambda *a, **k: self.map_batches(tables, *a, **k))

    def map_batches(self, tables: list[pa.Table], fn: Any, **options: Any) -> Any:
        self.options = options
        arguments = pickle.loads(pickle.dumps(options["fn_constructor_args"]))

        def iter_batches(**options: Any) -> Iterator[pa.Table]:
            worker = fn(*arguments)
            for table in tables:
                part = table["part"][0].as_py()
                self.before(part)
                self.parts.append(part)
                yield worker(table)

        return SimpleNamespace(iter_batches=iter_batches)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> InPlace:
    found = InPlace()
    monkeypatch.setattr(on_ray, "library", lambda: found)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "part" in path.name}


def same(one: Path, other: Path) -> None:
    assert files(one) == files(other) != {}
    manifests = [recae.open_export(path).manifest for path in (one, other)]
    for manifest in manifests:
        manifest.pop("created")
    assert manifests[0] == manifests[1]
    recae.open_export(other).verify()
    assert {path.name for path in other.iterdir()} == {path.name for path in one.iterdir()}


def rules() -> Rules:
    return Rules(boosts={103: 2.0}, include={107: 2}, explore=0.2, seed=4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"users": [118, *range(4, 90, 2), 0]},
        {"users": [*range(0, 60, 2), 7], "on_unknown": "popular"},
        {"users": [*range(0, 60, 2), 7], "on_unknown": "skip"},
        {"exclude_seen": False, "items": [100, 101, 105, 107, 119], "batch_size": 4},
        {"exclude_items": {0: [100, 101], 118: [102]}, "titles": {100: "x", 105: "é"}},
    ],
)
@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")
def test_the_folder_is_that_of_one_machine(
    options: dict[str, Any], plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    model = recae.load(saved, recae.Recommender)
    rows = model.export(tmp_path / "one", plays, k=7, **options)
    assert ray_export(saved, tmp_path / "ray", plays, k=7, **options) == rows
    same(tmp_path / "one", tmp_path / "ray")
    stored = recae.ingest(plays, tmp_path / "data")
    model.export(tmp_path / "two", stored, k=7, **options)
    ray_export(saved, tmp_path / "mapped", tmp_path / "data", k=7, **options)
    same(tmp_path / "two", tmp_path / "mapped")
    assert files(tmp_path / "one").keys() == files(tmp_path / "two").keys()


def test_rules_and_what_they_did(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    model = recae.load(saved, recae.Recommender)
    with pytest.warns(recae.RecaeWarning) as one:
        model.export(tmp_path / "one", plays, k=18, rules=rules())
    with pytest.warns(recae.RecaeWarning) as ray:
        ray_export(saved, tmp_path / "ray", plays, k=18, rules=rules())
    same(tmp_path / "one", tmp_path / "ray")
    assert [str(w.message) for w in one] == [str(w.message) for w in ray]


def test_paths_of_tables_and_the_models_own_history(
    plays: pd.DataFrame, engine: InPlace, tmp_path: Path
) -> None:
    model = recae.EASE().fit(plays)
    saved = model.save(tmp_path / "model", with_history=True)
    plays.to_parquet(tmp_path / "plays.parquet")
    model.export(tmp_path / "one", k=3)
    ray_export(saved, tmp_path / "own", k=3)
    ray_export(str(saved), str(tmp_path / "read"), str(tmp_path / "plays.parquet"), k=3)
    same(tmp_path / "one", tmp_path / "own")
    same(tmp_path / "one", tmp_path / "read")


def test_an_interrupted_run_is_resumed_by_either_kind(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    model = recae.load(saved, recae.Recommender)
    model.export(tmp_path / "one", plays, k=7)

    def stop(part: int) -> None:
        if part == 2:
            raise KeyboardInterrupt

    for number in (1, 2):
        engine.before = stop
        with pytest.raises(KeyboardInterrupt):
            ray_export(saved, tmp_path / f"ray {number}", plays, k=7)
    engine.before, engine.parts = lambda part: None, []
    ray_export(saved, tmp_path / "ray 1", plays, k=7)
    assert engine.parts == [2, 3]
    model.export(tmp_path / "ray 2", plays, k=7)
    for number in (1, 2):
        same(tmp_path / "one", tmp_path / f"ray {number}")
    with pytest.raises(StorageError):
        ray_export(saved, tmp_path / "ray 1", plays, k=7)
    ray_export(saved, tmp_path / "ray 1", plays, k=6, overwrite=True)
    assert recae.open_export(tmp_path / "ray 1").k == 6


def test_a_part_that_kills_its_workers_is_given_up(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    def die(part: int) -> None:
        if part == 2:
            for _ in range(on_ray.TRIES):
                with open(tmp_path / "ray" / f"{on_ray.BEGUN}00002", "ab") as begun:
                    begun.write(b".")

    engine.before = die
    with pytest.raises(StorageError, match="part 2"):
        ray_export(saved, tmp_path / "ray", plays, k=7)
    engine.before = lambda part: None
    recae.load(saved, recae.Recommender).export(tmp_path / "one", plays, k=7)
    ray_export(saved, tmp_path / "ray", plays, k=7)
    same(tmp_path / "one", tmp_path / "ray")


def test_workers_that_differ_are_refused(
    plays: pd.DataFrame,
    saved: Path,
    engine: InPlace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(processes, "__version__", "9.9")
        with pytest.raises(recae.ConfigError, match=r"9\.9"):
            ray_export(saved, tmp_path / "ray", plays)
    own = recae.EASE().fit(plays).save(tmp_path / "model")

    def replace(part: int) -> None:
        recae.EASE(l2=7).fit(plays).save(own, overwrite=True)

    original = InPlace.map_batches

    def map_batches(self: InPlace, *args: Any, **options: Any) -> Any:
        replace(0)
        return original(self, *args, **options)

    monkeypatch.setattr(InPlace, "map_batches", map_batches)
    with pytest.raises(recae.DataError, match="another model"):
        ray_export(own, tmp_path / "ray 2", plays)


def test_a_folder_that_is_not_shared_is_named(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    original = on_ray.WriteParts.__call__

    def elsewhere(self: Any, table: pa.Table) -> pa.Table:
        found = original(self, table)
        for file in (tmp_path / "ray").glob("part*"):
            file.unlink()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_ray.WriteParts, "__call__", elsewhere)
        with pytest.raises(StorageError, match="part-00000"):
            ray_export(saved, tmp_path / "ray", plays)


def test_gpus_are_for_models_with_networks(
    plays: pd.DataFrame,
    saved: Path,
    engine: InPlace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "PART_USERS", 64)
    with pytest.raises(recae.ConfigError) as caught:
        ray_export(saved, tmp_path / "ray", plays, num_gpus=1)
    assert caught.value.parameter == "num_gpus"
    model = recae.MultVAE(latent=3, hidden=(5,), epochs=1).fit(plays)
    neural = model.save(tmp_path / "neural")
    model.export(tmp_path / "one", plays, k=4)
    with PretendGPU(watch="recae") as gpu:
        ray_export(neural, tmp_path / "ray", plays, k=4, num_cpus=3, num_gpus=0.5)
        assert gpu.operations
    assert engine.options["num_gpus"] == 0.5 and engine.options["num_cpus"] == 3
    tables = [recae.open_export(tmp_path / name).dataset().to_table() for name in ("one", "ray")]
    assert tables[0].drop(["score"]).equals(tables[1].drop(["score"]))
    with pytest.warns(recae.RecaeWarning, match="num_cpus=5"):
        ray_export(saved, tmp_path / "large", plays, k=4, num_cpus=5)
    processes._loaded.cache_clear()
    with pytest.raises(recae.ConfigError, match="cuda"):
        ray_export(neural, tmp_path / "no GPU", plays, k=4, num_gpus=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "lists.parquet"},
        {"workers": 0},
        {"num_cpus": 1.5},
        {"num_gpus": -1},
        {"progress": "no"},
        {"k": 0},
    ],
)
def test_wrong_options(
    wrong: dict[str, Any], plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    given = {"path": "lists", **wrong}
    with pytest.raises(recae.ConfigError) as caught:
        ray_export(saved, tmp_path / given.pop("path"), plays, **given)
    assert caught.value.parameter == [*wrong][0]
    with pytest.raises(recae.DataError):
        ray_export(tmp_path / "nowhere", tmp_path / "lists", plays)
    with pytest.raises(recae.DataError):
        ray_export(saved, tmp_path / "lists")
    assert not (tmp_path / "lists").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray warns of its own defaults
def test_two_workers_of_ray_and_one_is_killed(
    plays: pd.DataFrame, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PART_USERS", 1)
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    pytest.importorskip("psutil")
    from evaluation.scale.scale_cluster import killing

    memory = 100 << 20
    ray.init(num_cpus=2, object_store_memory=memory, include_dashboard=False, log_to_driver=False)
    killed: list[int] = []
    try:
        recae.load(saved, recae.Recommender).export(tmp_path / "one", plays, k=7)
        with killing(tmp_path / "ray", killed, 2):
            ray_export(saved, tmp_path / "ray", plays, k=7)
        assert len(killed) == 1
        same(tmp_path / "one", tmp_path / "ray")
        rows = ray.data.from_arrow(pa.table({"user_id": [2], "item_id": [[100, 101]]}))
        strategy = ray.data.ActorPoolStrategy(size=1)
        lists = rows.map_batches(
            recae.scale.Recommend,
            fn_constructor_args=(str(saved), 3),
            batch_format="pyarrow",
            compute=strategy,
        )
        assert len(lists.take_all()) == 3
        broken = rows.rename_columns({"item_id": "items"}).map_batches(
            recae.scale.Recommend(saved, 3), batch_format="pyarrow"
        )
        with pytest.raises(Exception, match="item_id"):
            broken.take_all()
        with pytest.raises(recae.DataError, match="model_path|nowhere"):
            ray_export(tmp_path / "nowhere", tmp_path / "lists", plays)
    finally:
        ray.shutdown()


def test_the_missing_extra_is_named(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(recae.ConfigError, match=r"recae\[ray\]"):
        ray_export(saved, tmp_path / "lists")
