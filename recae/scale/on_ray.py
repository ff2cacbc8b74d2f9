"""An export on a Ray cluster: the parts of one folder, each written by a worker."""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recae import errors
from recae.data import IdMap, Interactions, open_data, read_table
from recae.data.stored.folder import as_stored
from recae.errors import (
    ConfigError,
    RecaeError,
    RecaeWarning,
    StorageError,
    check_integer,
    check_number,
    explained,
    warn,
)
from recae.estimators.saved import load
from recae.recommend import Recommender
from recae.recommend.export.folder import Folder, folder_of
from recae.recommend.export.lists import Plan
from recae.recommend.export.manifest import part_name
from recae.recommend.export.run import is_file
from recae.recommend.export.writing import PartWriter, Writers
from recae.recommend.requests import tell_notes
from recae.recommend.rules import Rules
from recae.recommend.rules.ranked import Ruled
from recae.scale.processes import (
    check_device,
    check_version,
    computing,
    digest_of,
    here,
    loaded,
    on_device,
)
from recae.system.digests import reason, sha256
from recae.system.files import as_path
from recae.system.machine import __version__
from recae.system.progress import bar, check_progress, say

TRIES = 4
"""So many workers may die while they write a part; Ray itself would try for ever."""

Source = tuple[Interactions | str, tuple[np.ndarray, np.ndarray] | None]
"""The histories, or the data folder that they are in; and the ids of the users with their rows
there, -1 for none, or None for all users in their order."""

BEGUN = "_begun-"
"""How the files begin that count the tries of a part, in the folder of the export."""


@explained
def ray_export(
    model_path: str | Path,
    path: str | Path,
    history: Any = None,
    k: int = 100,
    *,
    workers: int = 2,
    num_cpus: int = 1,
    num_gpus: float = 0,
    users: Any = None,
    exclude_seen: bool = True,
    items: Any = None,
    exclude_items: Any = None,
    on_unknown: str = "raise",
    on_unknown_items: str = "ignore",
    rules: Rules | None = None,
    batch_size: int | str = "auto",
    titles: Any = None,
    progress: bool | None = None,
    overwrite: bool = False,
) -> int:
    """The folder that `model.export(path, history, k, ...)` writes, by the workers of a Ray
    cluster; returns the number of rows.

    model_path: a folder that `save` wrote. path: a folder. Both must be the same on all machines
    (shared storage). history: a folder of `recae.ingest`, best, which each worker maps into memory
    (shared storage, too); or a path of tables, or histories as in `export`, which are read here and
    kept once on each machine by Ray; None for those saved with the model. workers: processes, each
    with `num_cpus` threads and `num_gpus` GPUs, which a model with a network then ranks on. Other
    options are those of `export`.

    Uses the cluster that `ray.init` has connected to, or one that Ray starts on this machine for
    the call. A worker takes a part after the other, and loads the model once. The parts of a worker
    that dies are given to others, three times at most. A call that was interrupted is resumed part
    by part by the same call, here or by `model.export`. Lists are those of one machine; scores
    differ by at most 1e-5 relative.

    Needs `pip install "recae[ray]"`. Raises as `export` does, and ConfigError without Ray and for
    workers with another version of recae.

    >>> recae.scale.ray_export("model", "lists", "plays", k=100, workers=8)  # doctest: +SKIP
    13849300
    """
    ray = library()
    check_progress(progress)
    count, cpus = check_integer("workers", workers), check_integer("num_cpus", num_cpus)
    gpus = check_number("num_gpus", num_gpus, low=0)
    if is_file(path):
        raise ConfigError(
            f"{path} is one file, and each worker writes files of its own: name a folder",
            parameter="path",
            value=path,
        )
    where = str(as_path(model_path).absolute())
    model = load(where, Recommender)
    device = "cuda" if gpus else "cpu"
    check_device(model, device)
    given = _histories(history, model)
    options = {
        "exclude_seen": exclude_seen,
        "items": items,
        "exclude_items": exclude_items,
        "on_unknown": on_unknown,
        "on_unknown_items": on_unknown_items,
        "rules": rules,
        "titles": titles,
    }
    plan, ruled = model._export_plan(given, k, users=users, batch_size=batch_size, **options)
    job = plan.job
    with folder_of(path, job, overwrite=overwrite) as folder:
        if folder.entries:
            done = folder.users_done
            say(f"exporting: resumed, {done:,} of {job.users:,} users are done", progress)
        task = Task(
            model_path=where,
            digest=digest_of(where),
            recae=__version__,
            folder=str(folder.path),
            schema=job.written_schema,
            group_users=plan.group_users,
            k=k,
            batch_size=int(job.options["batch_size"]),
            options=options,
            threads=cpus,
            device=device,
        )
        resources = {"num_cpus": cpus, "num_gpus": gpus}
        with _running(ray), _tries_of(folder.path):
            _warn_if_none_fits(ray, resources)
            source = ray.put(_source(history, given, ruled, model))
            _fill(ray, folder, task, [source], count, resources, ruled, progress)
            for leftover in folder.path.glob(".*.part"):  # of workers that died
                shutil.rmtree(leftover, ignore_errors=True)
        total = int(folder.finish(plan.beside)["rows"])
    tell_notes(ruled.notes)
    return total


@dataclass(frozen=True)
class Task:
    """What a worker has to know beside the histories; pickled with the job of the workers."""

    model_path: str
    digest: str
    recae: str
    folder: str
    schema: pa.Schema
    group_users: int
    k: int
    batch_size: int
    options: Mapping[str, Any]
    threads: int
    device: str


class WriteParts:
    """The callable of a worker: it ranks the users of parts and writes their files.

    source: a list of one reference to a Source; Ray would resolve one that is in no list.
    """

    def __init__(self, task: Task, source: list[Any]) -> None:
        self.task, self.source, self.ready = task, source, False

    def _prepare(self) -> None:
        """Loads the model and the histories, at the first call."""
        check_version(self.task.recae)
        ((rows, self.wanted),) = library().get(self.source)
        self.model = on_device(loaded(self.task.model_path, self.task.digest), self.task.device)
        self.rows = rows if isinstance(rows, Interactions) else open_data(rows)
        self.ready = True

    def __call__(self, table: pa.Table) -> pa.Table:
        """A row for each part that was written: its number, and what the manifest says of it.

        An error of recae is a row too, with its kind and message: Ray loses what it raises.
        """
        try:
            with here(), computing(self.task.threads), warnings.catch_warnings():
                warnings.simplefilter("ignore", RecaeWarning)  # said once, by the caller
                if not self.ready:
                    self._prepare()
                rows = table.to_pylist()
                found = [self._write(row["part"], row["first"], row["stop"]) for row in rows]
        except RecaeError as error:
            found = [dict.fromkeys(("counts", "sha256", "notes"), "")]
            found[0] |= {"part": -1, "counts": type(error).__name__, "notes": str(error)}
        return pa.Table.from_pylist(found)

    def _write(self, part: int, first: int, stop: int) -> dict[str, Any]:
        self._count_try(part)
        plan, ruled = self._plan(first, stop)
        before = _counts(ruled)
        file = Path(self.task.folder) / part_name(part)
        writer = PartWriter(file, self.task.schema, self.task.group_users)
        with Writers() as writers:
            writers.begin(writer)
            for batch, _ in plan.made(0, stop - first):
                writers.put(writer, batch)
            writers.put(writer, None)
        notes = [[*key, n] for key, n in (_counts(ruled) - before).items()]
        return {
            "part": part,
            "counts": json.dumps(writer.counts),
            "sha256": sha256(file),
            "notes": json.dumps(notes),
        }

    def _count_try(self, part: int) -> None:
        """Counts in a file, which outlives this process, how often the part was begun."""
        with open(Path(self.task.folder) / f"{BEGUN}{part:05d}", "ab") as begun:
            begun.write(b".")
            tries = begun.tell()
        if tries > TRIES:
            raise StorageError(
                f"{TRIES} workers have died while they wrote part {part}: give them more memory, "
                "or use fewer workers on a machine"
            )

    def _plan(self, first: int, stop: int) -> tuple[Plan, Ruled]:
        """The export of some users: of their rows of the histories alone."""
        if self.wanted is None:
            users, codes = None, np.arange(first, stop)
        else:
            users, codes = (part[first:stop] for part in self.wanted)
            codes = codes[codes >= 0]
        options = {**self.task.options, "batch_size": self.task.batch_size}
        some = self.rows.select_users(codes)
        return self.model._export_plan(some, self.task.k, users=users, **options)


def _counts(ruled: Ruled) -> Counter[tuple[str, str]]:
    """What rules have counted so far."""
    return Counter() if ruled.bound is None else ruled.bound.notes.counts.copy()


def _histories(history: Any, model: Recommender) -> Any:
    """The histories as `export` takes them; a data folder is opened, and the tables of another path
    are read. Raises DataError."""
    if not isinstance(history, str | os.PathLike):
        return history
    if as_stored(history) is not None:
        return open_data(history)
    kind = "integer" if model.items_.kind == "int" else "text"
    return read_table(history, ids=("auto", kind))


def _source(history: Any, given: Any, ruled: Ruled, model: Recommender) -> Source:
    """Where workers find the rows: in the data folder, if there is one, else in these."""
    request, folder = ruled.request, as_stored(history)
    if folder is None:
        matrix, users = request.matrix[: len(request)], IdMap(request.users, "user")
        parts = matrix.data, matrix.indices, matrix.indptr, None
        return Interactions._owning(users, model.items_, *parts), None
    where = str(as_path(folder).expanduser().absolute())
    everybody = np.array_equal(request.users, given.users.ids)
    return where, None if everybody else (request.users, given.users.lookup(request.users))


def _fill(
    ray: Any,
    folder: Folder,
    task: Task,
    source: list[Any],
    workers: int,
    resources: Mapping[str, float],
    ruled: Ruled,
    progress: bool | None,
) -> None:
    """Lets workers write the parts that are not complete, and notes each in the journal."""
    job = folder.job
    todo = [
        dict(zip(("part", "first", "stop"), (n, *job.bounds(n)), strict=True)) for n in folder.todo
    ]
    if not todo:
        return
    tables = [pa.Table.from_pylist([one]) for one in todo]
    pool = ray.data.ActorPoolStrategy(size=min(workers, len(todo)), max_tasks_in_flight_per_actor=1)
    written = ray.data.from_arrow(tables).map_batches(
        WriteParts,
        fn_constructor_args=(task, source),
        batch_format="pyarrow",
        batch_size=None,
        compute=pool,
        **resources,
    )
    with bar(job.users, "exporting", "user", progress, initial=folder.users_done) as shown:
        for batch in written.iter_batches(batch_format="pyarrow", batch_size=None):
            for row in batch.to_pylist():
                if row["part"] < 0:
                    raise getattr(errors, row["counts"], errors.DataError)(row["notes"])
                counts = json.loads(row["counts"])
                _add(folder, row["part"], counts, row["sha256"])
                for rule, what, n in json.loads(row["notes"]):
                    assert ruled.bound is not None
                    ruled.bound.notes.add(rule, what, n)
                shown.update(counts["users"])


def _warn_if_none_fits(ray: Any, resources: Mapping[str, float]) -> None:
    """Warns if no machine is large enough for a worker: Ray waits for one, for ever."""
    wanted = {"CPU": resources["num_cpus"], "GPU": resources["num_gpus"]}
    nodes = [node["Resources"] for node in ray.nodes() if node.get("Alive")]
    if not any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        warn(
            f"no machine of the cluster has num_cpus={wanted['CPU']} and num_gpus={wanted['GPU']} "
            "for a worker: Ray waits until one joins"
        )


def _add(folder: Folder, part: int, counts: Mapping[str, int], digest: str) -> None:
    try:
        folder.add(part, counts, digest)
    except FileNotFoundError:
        raise StorageError(
            f"a worker has written {folder.file(part)}, and this machine does not see it: name a "
            "folder on storage that all machines share"
        ) from None


@contextmanager
def _tries_of(folder: Path) -> Iterator[None]:
    """Begins to count tries, and deletes the counts after the block."""

    def forget() -> None:
        for file in folder.glob(f"{BEGUN}*"):
            file.unlink(missing_ok=True)

    forget()
    try:
        yield
    finally:
        forget()


@contextmanager
def _running(ray: Any) -> Iterator[None]:
    """Uses the cluster that there is, or one of this machine that ends with the block. Errors of
    Ray are StorageErrors."""
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False  # there is our own
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except ray.exceptions.RayError as error:
        raise StorageError(
            f"Ray could not finish the export: {reason(error)}. The same call resumes it"
        ) from None
    finally:
        context.enable_progress_bars = before
        log.setLevel(level)
        if started:
            ray.shutdown()


def library() -> Any:
    """The library Ray, with Ray Data. Raises ConfigError where it is missing."""
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise ConfigError(
            'exporting with Ray needs the library Ray Data: pip install "recae[ray]"'
        ) from error
    return ray
