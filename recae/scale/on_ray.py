"""An export on a Ray cluster: the parts of one folder, each written by a worker."""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recae import errors
from recae.data import IdMap, Interactions, open_data, read_table
from recae.data.stored.folder import as_stored
from recae.errors import (
    ConfigError,
    StorageError,
    check_integer,
    check_number,
    explained,
    warn,
)
from recae.recommend import Recommender
from recae.recommend.export.folder import Folder, folder_of
from recae.recommend.export.run import check_place, is_file
from recae.recommend.requests import tell_notes
from recae.recommend.rules import Rules
from recae.recommend.rules.ranked import Ruled
from recae.scale.parts import ANSWER, FIRST, PART, STOP, Source, Task, WriteParts
from recae.scale.processes import check_device, digest_of, model_of
from recae.system.digests import reason
from recae.system.files import as_path
from recae.system.machine import __version__
from recae.system.progress import bar, check_progress, say


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
    check_place(path, None, overwrite=overwrite)
    if is_file(path):
        raise ConfigError(
            f"{path} is one file, and each worker writes files of its own: name a folder",
            parameter="path",
            value=path,
        )
    where = str(as_path(model_path).absolute())
    digest = digest_of(where)
    model = model_of(where, digest)
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
        resources = {"num_cpus": cpus, "num_gpus": gpus}
        with _running(ray), _workshop(folder.path) as place:
            _warn_if_none_fits(ray, resources)
            task = Task(
                model_path=where,
                digest=digest,
                recae=__version__,
                place=str(place),
                schema=job.written_schema,
                group_users=plan.group_users,
                k=k,
                options={**options, "batch_size": int(job.options["batch_size"])},
                threads=cpus,
                device=device,
            )
            source = ray.put(_source(history, given, ruled, model))
            with (
                bar(job.users, "exporting", "user", progress, initial=folder.users_done) as shown,
                closing(_answers(ray, folder, task, source, count, resources)) as answers,
            ):
                for answer in answers:
                    _take(folder, place, answer)
                    for rule, what, n in answer["notes"]:
                        assert ruled.bound is not None
                        ruled.bound.notes.add(rule, what, n)
                    shown.update(answer["counts"]["users"])
        total = int(folder.finish(plan.beside)["rows"])
    tell_notes(ruled.notes)
    return total


class RayWorker(WriteParts):
    """`WriteParts` with a Source that Ray keeps.

    source: a list of one reference. Ray would resolve a reference that is in no list: in vain for a
    worker that dies at once.
    """

    def __init__(self, task: Task, source: list[Any]) -> None:
        super().__init__(task, lambda: library().get(source)[0])


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
        return Source(Interactions._owning(users, model.items_, *parts))
    where = str(as_path(folder).expanduser().absolute())
    everybody = np.array_equal(request.users, given.users.ids)
    chosen = None if everybody else (request.users, given.users.lookup(request.users))
    return Source(where, chosen, given.fingerprint())


def _answers(
    ray: Any,
    folder: Folder,
    task: Task,
    source: Any,
    workers: int,
    resources: Mapping[str, float],
) -> Generator[dict[str, Any]]:
    """Lets workers write the parts that are not complete; their answers, in any order."""
    tables = [
        pa.table({name: [value] for name, value in zip((PART, FIRST, STOP), row, strict=True)})
        for row in ((part, *folder.job.bounds(part)) for part in folder.todo)
    ]
    if not tables:
        return
    pool = ray.data.ActorPoolStrategy(
        size=min(workers, len(tables)), max_tasks_in_flight_per_actor=1
    )
    written = ray.data.from_arrow(tables).map_batches(
        RayWorker,
        fn_constructor_args=(task, [source]),
        batch_format="pyarrow",
        batch_size=None,
        compute=pool,
        **resources,
    )
    for batch in written.iter_batches(batch_format="pyarrow", batch_size=None):
        yield from map(json.loads, batch[ANSWER].to_pylist())


def _take(folder: Folder, place: Path, answer: Mapping[str, Any]) -> None:
    """Puts the file of a part in its place, and notes it in the journal.

    Workers do not: one that has outlived its caller would replace a file of the next one. Raises
    the error of the worker, if it is one.
    """
    if "error" in answer:
        raise getattr(errors, answer["error"], errors.DataError)(answer["message"])
    target = folder.file(answer["part"])
    try:
        os.replace(place / target.name, target)
    except OSError as error:
        raise StorageError(
            f"a worker has written {place / target.name}, and this machine cannot move it to "
            f"{target.name} ({error.strerror}): name a folder on storage that all machines share"
        ) from None
    folder.add(answer["part"], answer["counts"], answer["sha256"])


def _warn_if_none_fits(ray: Any, resources: Mapping[str, float]) -> None:
    """Warns if no machine is large enough for a worker: Ray waits for one, for ever."""
    wanted = {"CPU": resources["num_cpus"], "GPU": resources["num_gpus"]}
    nodes = [node["Resources"] for node in ray.nodes() if node.get("Alive")]
    if not any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        warn(
            f"no machine of the cluster has num_cpus={wanted['CPU']} and num_gpus={wanted['GPU']} "
            "for a worker: Ray waits until one joins"
        )


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A hidden folder in that of the export, where workers write. It is deleted afterwards; if this
    process is killed, by the call that resumes the export."""
    place = folder / f".{uuid.uuid4().hex[:8]}.part"
    try:
        place.mkdir()
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _running(ray: Any) -> Iterator[None]:
    """Uses the cluster that there is, or one of this machine that ends with the block. Errors of
    Ray are StorageErrors."""
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(log_to_driver=False, include_dashboard=False)
        except Exception as error:  # of many kinds
            raise StorageError(f"Ray cannot be started or reached: {reason(error)}") from error
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
