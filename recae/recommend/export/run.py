"""Runs a job: a file, a folder of parts, or a file with a checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recae.errors import ConfigError, DataError, RecaeError, StorageError
from recae.recommend.export.folder import Beside, Folder, check_folder, folder_of
from recae.recommend.export.manifest import Job
from recae.recommend.export.writing import (
    GROUP_ROWS,
    Made,
    PartWriter,
    Writers,
    parquet_writer,
)
from recae.system.files import (
    TABLES,
    as_path,
    atomic_file,
    check_apart,
    check_target,
    remove_directory,
    resolved,
)
from recae.system.progress import bar, check_progress, say

PART_ROWS, PART_USERS = 1 << 22, 1 << 17
"""Rows and users of a part, at most: 20 to 40 MB. A killed export ranks at most a part again."""

_OTHERS = ".csv .tsv .txt .json .jsonl .gz .zip .zst .feather .arrow .orc .xlsx .npz .npy .pkl .db"
OTHER_FORMATS = frozenset(_OTHERS.split())


def is_file(path: str | Path) -> bool:
    """Whether an export to this path is one file: its name ends in .parquet or .pq.

    Raises ConfigError for the ending of another format.
    """
    ending = as_path(path).suffix.lower()
    if ending in OTHER_FORMATS:
        raise ConfigError(
            f"the file {path} must end in .parquet or .pq; a name without an ending is a folder of "
            "Parquet files",
            parameter="path",
            value=path,
        )
    return ending in TABLES


def check_place(path: str | Path, checkpoint: str | Path | None, *, overwrite: bool) -> None:
    """Raises the errors of `run` that do not depend on the job, before anything is read."""
    if is_file(path):
        check_target(path, overwrite=overwrite, endings=TABLES)
        return
    if checkpoint is not None:
        raise ConfigError(
            "checkpoint is for an export to one file; a folder resumes by itself",
            parameter="checkpoint",
            value=checkpoint,
        )
    check_folder(path, overwrite=overwrite)


def sizes(k: int, batch: int) -> tuple[int, int, int]:
    """Users ranked at a time, of a row group, and of a part, each a multiple of the one before.

    k: rows of a user, at most; batch: users that would be ranked at a time.

    >>> sizes(100, 4096)
    (4096, 8192, 40960)
    """
    batch = min(batch, PART_USERS)
    most = max(PART_USERS // batch, 1)
    group = batch * min(max(GROUP_ROWS // k // batch, 1), most)
    part = group * max(min(PART_ROWS // k, PART_USERS) // group, 1)
    return batch, group, part


def run(
    path: str | Path,
    job: Job,
    group_users: int,
    made: Made,
    *,
    progress: bool | None,
    checkpoint: str | Path | None,
    overwrite: bool,
    beside: Beside | None = None,
) -> int:
    """Writes the rows of a job; returns their number. Options are those of `Recommender.export`.

    made: ranks some users. group_users: users of a row group, see `sizes`. beside: writes another
    file to a folder, before the manifest.
    """
    with _storage_errors(path):
        return _run(path, job, group_users, made, progress, checkpoint, overwrite, beside)


@contextmanager
def _storage_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, RecaeError):
            raise
        raise StorageError(f"could not write {path}: {error.strerror or error}") from error


def _run(
    path: str | Path,
    job: Job,
    group_users: int,
    made: Made,
    progress: bool | None,
    checkpoint: str | Path | None,
    overwrite: bool,
    beside: Beside | None,
) -> int:
    """Writes the lists as a folder, as one file, or as a folder at `checkpoint` that becomes one
    file at the end. Returns the rows."""
    check_place(path, checkpoint, overwrite=overwrite)
    check_progress(progress)
    if not is_file(path):
        with folder_of(path, job, overwrite=overwrite) as folder:
            _fill(folder, group_users, made, progress)
            return int(folder.finish(beside)["rows"])
    if checkpoint is None:
        file = as_path(path)
        writer = PartWriter(
            file, job.written_schema, group_users, overwrite=overwrite, endings=TABLES
        )
        with bar(job.users, "exporting", "user", progress) as shown, Writers() as writers:
            writers.begin(writer)
            for part in range(job.parts):
                for batch, users in made(*job.bounds(part)):
                    writers.put(writer, batch)
                    shown.update(users)
            writers.put(writer, None)
        return writer.counts["rows"]
    check_apart([path, checkpoint], [])
    with folder_of(checkpoint, job, overwrite=False) as folder:
        _fill(folder, group_users, made, progress)
        rows = _joined(path, folder, progress, overwrite)
    remove_directory(resolved(checkpoint))
    return rows


def _fill(folder: Folder, group_users: int, made: Made, progress: bool | None) -> None:
    """Ranks and writes the parts that are not complete."""
    job, done = folder.job, folder.users_done
    if folder.entries:
        say(
            f"exporting: resumed, {done:,} of {job.users:,} users are done, {folder.path}", progress
        )
    schema = job.written_schema
    with bar(job.users, "exporting", "user", progress, initial=done) as shown, Writers() as writers:
        for part in folder.todo:
            written = functools.partial(folder.add, part)
            writer = PartWriter(folder.file(part), schema, group_users, written)
            writers.begin(writer)
            for batch, users in made(*job.bounds(part)):
                writers.put(writer, batch)
                shown.update(users)
            writers.put(writer, None)


def _joined(path: str | Path, folder: Folder, progress: bool | None, overwrite: bool) -> int:
    """Copies the row groups of all parts to one file; the number of rows."""
    rows = sum(int(entry["rows"]) for entry in folder.entries.values())
    with (
        bar(rows, "joining", "row", progress) as shown,
        atomic_file(path, overwrite=overwrite, endings=TABLES) as part,
        parquet_writer(part, folder.job.written_schema) as writer,
    ):
        for file in map(folder.file, range(folder.job.parts)):
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    for group in range(parquet.num_row_groups):
                        table = parquet.read_row_group(group).combine_chunks()
                        writer.write_table(table, row_group_size=max(len(table), 1))
                        shown.update(len(table))
            except pa.ArrowException as error:
                raise DataError(
                    f"{file} is damaged ({error}): delete it and run the same export again"
                ) from error
    return rows
