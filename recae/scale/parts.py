"""The worker of an export on a cluster: it ranks the users of a part and writes its file."""

from __future__ import annotations

import json
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recae.data import Interactions, open_data
from recae.errors import DataError, RecaeError, RecaeWarning, StorageError
from recae.recommend import Recommender
from recae.recommend.export.lists import Plan
from recae.recommend.export.manifest import part_name
from recae.recommend.export.writing import PartWriter, Writers
from recae.recommend.rules.ranked import Ruled
from recae.scale.processes import check_version, computing, here, loaded
from recae.system.digests import sha256

TRIES = 4
"""So many workers may die while they write a part; Ray itself would try for ever."""

PART, FIRST, STOP = "part", "first", "stop"
"""Columns of the table that a worker is given: parts, their first users, and those after the last.
"""

ANSWER = "answer"
"""The column of the table that it gives back: JSON, see `WriteParts`."""


@dataclass(frozen=True)
class Source:
    """Where the rows of users are.

    rows: the histories of all users of the export, in their order; or the path of a data folder.
    chosen: the ids of the users and their rows in the data folder, -1 for none; None for everybody
    there. fingerprint: of the data folder.
    """

    rows: Interactions | str
    chosen: tuple[np.ndarray, np.ndarray] | None = None
    fingerprint: str = ""

    def opened(self) -> Interactions:
        """The histories. Raises DataError for a data folder that is another one by now."""
        if isinstance(self.rows, Interactions):
            return self.rows
        found = open_data(self.rows)
        if found.fingerprint() != self.fingerprint:
            raise DataError(
                f"the machine {socket.gethostname()} finds other data in {self.rows} than the job "
                "began with: write new data to a new folder, and start the job again"
            )
        return found

    def users(self, first: int, stop: int) -> tuple[np.ndarray | None, np.ndarray]:
        """The ids of some users of the export, None for those of their rows; and their rows."""
        if self.chosen is None:
            return None, np.arange(first, stop)
        ids, rows = (part[first:stop] for part in self.chosen)
        return ids, rows[rows >= 0]


@dataclass(frozen=True)
class Task:
    """What a worker has to know beside the histories; it is pickled.

    model_path, digest, recae: the model, and the version of recae, of the job. place: a folder on
    storage that all machines share, where files of parts are written. schema, group_users: of the
    files. k, options: as in `Recommender.export`. threads, device: of a worker.
    """

    model_path: str
    digest: str
    recae: str
    place: str
    schema: pa.Schema
    group_users: int
    k: int
    options: Mapping[str, Any]
    threads: int
    device: str


class WriteParts:
    """The callable of a worker: it ranks the users of parts, and writes their files.

    It loads the model and the histories when it is first called, and keeps them. The answer to a
    part is {"part", "counts", "sha256", "notes"}, or {"error", "message"}: an error of recae is an
    answer too, because Ray loses the kind and the message of what a worker raises.

    fetch: gives the Source; it is called once.
    """

    def __init__(self, task: Task, fetch: Callable[[], Source]) -> None:
        self.task, self.fetch = task, fetch

    def __call__(self, table: pa.Table) -> pa.Table:
        """A row with an answer for each row of the table; see PART and ANSWER."""
        answers = [self._answer(row) for row in table.to_pylist()]
        return pa.table({ANSWER: [json.dumps(answer) for answer in answers]})

    def _answer(self, row: Mapping[str, int]) -> dict[str, Any]:
        try:
            with here(), computing(self.task.threads), warnings.catch_warnings():
                warnings.simplefilter("ignore", RecaeWarning)  # said once, by the caller
                return self._write(row[PART], row[FIRST], row[STOP])
        except RecaeError as error:
            return {"error": type(error).__name__, "message": str(error)}

    def _write(self, part: int, first: int, stop: int) -> dict[str, Any]:
        """Writes one part and returns its counts, its checksum and the notes of its users."""
        check_version(self.task.recae)
        self._count_try(part)  # before the model, which may take more memory than there is
        plan, ruled = self._plan(first, stop)
        before = _counts(ruled)
        file = Path(self.task.place) / part_name(part)
        writer = PartWriter(file, self.task.schema, self.task.group_users)
        with Writers() as writers:
            writers.begin(writer)
            for batch, _ in plan.made(0, stop - first):
                writers.put(writer, batch)
            writers.put(writer, None)
        notes = [[*key, n] for key, n in (_counts(ruled) - before).items()]
        return {"part": part, "counts": writer.counts, "sha256": sha256(file), "notes": notes}

    def _count_try(self, part: int) -> None:
        """Counts in a file, which outlives this process, how often the part was begun."""
        place = Path(self.task.place)
        try:
            with open(place / f"begun-{part:05d}", "ab") as begun:
                begun.write(b".")
                tries = begun.tell()
        except FileNotFoundError:
            raise StorageError(
                f"the machine {socket.gethostname()} does not see {place}: export to a folder on "
                "storage that all machines share"
            ) from None
        if tries > TRIES:
            raise StorageError(
                f"{TRIES} workers have died while they wrote part {part}: give them more memory, "
                "or use fewer workers on a machine"
            )

    def _plan(self, first: int, stop: int) -> tuple[Plan, Ruled]:
        """The export of some users: of their rows of the histories alone."""
        users, rows = self._source.users(first, stop)
        some = self._histories.select_users(rows)
        return self._model._export_plan(some, self.task.k, users=users, **self.task.options)

    @cached_property
    def _model(self) -> Recommender:
        return loaded(self.task.model_path, self.task.digest).to(self.task.device)

    @cached_property
    def _source(self) -> Source:
        return self.fetch()

    @cached_property
    def _histories(self) -> Interactions:
        return self._source.opened()


def _counts(ruled: Ruled) -> Counter[tuple[str, str]]:
    """What rules have counted so far."""
    return Counter() if ruled.bound is None else ruled.bound.notes.counts.copy()
