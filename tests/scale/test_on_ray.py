"""An export by the workers of Ray is that of one machine, byte by byte.

Most tests run with `InPlace`, which calls the worker in this process; those that are marked slow
start Ray with two workers.
"""

from __future__ import annotations

import pickle
import shutil
import socket
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
from recae.scale import on_ray, parts, processes, ray_export
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


class Killed(BaseException):
    """A worker has died; it can do nothing about that, and says nothing."""


class InPlace:
    """What `ray_export` uses of Ray, in this process. `before` is called before each part. A worker
    that was Killed is replaced, for ever if need be, and its part is begun again."""

    exceptions = SimpleNamespace(RayError=ZeroDivisionError)

    def __init__(self) -> None:
        self.before: Any = lambda part: None
        self.parts: list[int] = []
        self.workers: list[Any] = []
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
            self.workers.append(fn(*arguments))
            for table in tables:
                part = table["part"][0].as_py()
                self.before(part)
                self.parts.append(part)
                while True:
                    try:
                        found = self.workers[-1](table)
                        break
                    except Killed:
                        assert len(self.workers) < 9, "Ray would try for ever"
                        self.workers.append(fn(*arguments))
                yield found

        return SimpleNamespace(iter_batches=iter_batches)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> InPlace:
    found = InPlace()
    monkeypatch.setattr(on_ray, "library", lambda: found)
    return found


def stop_at_2(part: int) -> None:
    """Ends the caller before it gets part 2, as Ctrl-C does."""
    if part == 2:
        raise KeyboardInterrupt


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

    for number in (1, 2):
        engine.before = stop_at_2
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


@pytest.mark.parametrize("moment", ["loaded", "open_data", "sha256"])
def test_a_part_that_kills_its_workers_is_given_up(
    moment: str, plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    """Too little memory for the model, or for the histories, and the last moment of a part."""
    recae.ingest(plays, tmp_path / "data")
    given = saved, tmp_path / "ray", tmp_path / "data"
    original, left = getattr(parts, moment), [9]

    def die(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise Killed
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, moment, die)
        with pytest.raises(StorageError, match="part 0"):
            ray_export(*given, k=7)
        assert len(engine.workers) == 1 + parts.TRIES and not (tmp_path / "ray").exists()
        left[0] = parts.TRIES - 1
        ray_export(*given, k=7)
    recae.load(saved, recae.Recommender).export(tmp_path / "one", recae.open_data(given[2]), k=7)
    same(tmp_path / "one", tmp_path / "ray")


def test_a_worker_that_outlives_its_caller_changes_nothing(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    engine.before = stop_at_2
    with pytest.raises(KeyboardInterrupt):
        ray_export(saved, tmp_path / "ray", plays, k=7)
    engine.before = lambda part: None
    model = recae.load(saved, recae.Recommender)
    model.export(tmp_path / "ray", plays, k=3, overwrite=True)
    before = files(tmp_path / "ray")
    late = engine.workers[0](pa.table({"part": [2], "first": [32], "stop": [48]}))
    assert "error" in late["answer"][0].as_py()
    assert files(tmp_path / "ray") == before
    recae.open_export(tmp_path / "ray").verify()


def test_what_a_killed_caller_leaves_is_deleted(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    model = recae.load(saved, recae.Recommender)
    model.export(tmp_path / "one", plays, k=7)
    engine.before = stop_at_2
    for name in ("ray", "alone"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(on_ray.shutil, "rmtree", lambda *a, **k: None)
            with pytest.raises(KeyboardInterrupt):
                ray_export(saved, tmp_path / name, plays, k=7)
        assert [*(tmp_path / name).glob(".*")]
    engine.before = lambda part: None
    ray_export(saved, tmp_path / "ray", plays, k=7)
    model.export(tmp_path / "alone", plays, k=7)
    for name in ("ray", "alone"):
        same(tmp_path / "one", tmp_path / name)


def test_a_ray_that_cannot_be_reached_is_named(
    plays: pd.DataFrame,
    saved: Path,
    engine: InPlace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError("no Ray at 10.0.0.7")

    monkeypatch.setattr(engine, "is_initialized", lambda: False)
    monkeypatch.setattr(InPlace, "init", staticmethod(init), raising=False)
    with pytest.raises(StorageError, match=r"10\.0\.0\.7"):
        ray_export(saved, tmp_path / "ray", plays)
    assert not (tmp_path / "ray").exists()


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
    recae.ingest(plays, tmp_path / "data")
    original = InPlace.map_batches

    def model(self: InPlace, *args: Any, **options: Any) -> Any:
        recae.EASE(l2=7).fit(plays).save(own, overwrite=True)
        return original(self, *args, **options)

    def data(self: InPlace, *args: Any, **options: Any) -> Any:
        recae.ingest(plays.assign(user_id=plays["user_id"] + 2), tmp_path / "data", overwrite=True)
        return original(self, *args, **options)

    for replace, match in ((model, "another model"), (data, "other data")):
        monkeypatch.setattr(InPlace, "map_batches", replace)
        with pytest.raises(recae.DataError, match=match):
            ray_export(own, tmp_path / "ray 2", tmp_path / "data")


def test_a_folder_that_is_not_shared_is_named(
    plays: pd.DataFrame, saved: Path, engine: InPlace, tmp_path: Path
) -> None:
    def elsewhere(part: int) -> None:
        """The folder is not there for the worker, or what it wrote is not there for the caller."""
        [place] = (tmp_path / "ray").glob(".*.part")
        shutil.rmtree(place)

    engine.before = elsewhere
    with pytest.raises(StorageError, match=f"{socket.gethostname()}.*ray"):
        ray_export(saved, tmp_path / "ray", plays)
    original = parts.WriteParts.__call__

    def written(self: Any, table: pa.Table) -> pa.Table:
        found = original(self, table)
        elsewhere(0)
        return found

    engine.before = lambda part: None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts.WriteParts, "__call__", written)
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
