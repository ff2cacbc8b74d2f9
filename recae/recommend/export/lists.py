"""Ranked lists as rows of an export."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recae.ranking.top_k import TopK
from recae.recommend.export.folder import Beside
from recae.recommend.export.histories import Inputs
from recae.recommend.export.manifest import LISTED, OWNERS, Job
from recae.recommend.export.opened import Export
from recae.recommend.export.run import run, sizes
from recae.recommend.export.since import Since
from recae.recommend.export.writing import Batch, Made, Rows
from recae.system.digests import sha256_of_json

Ranked = Callable[[int, int, int], Iterable[tuple[slice, TopK]]]
"""Ranks the users from a number to another one, so many at a time: gives the lists batch by batch,
with the rows of their users, counted from the first of them."""


@dataclass(frozen=True)
class Plan:
    """An export that is not run yet: its job, the users of a row group, and how rows are made.

    made_from: makes rows of ranked lists. inputs: what the lists of single users depend on.
    """

    job: Job
    group_users: int
    made: Made
    made_from: Callable[[Ranked], Made]
    inputs: Inputs | None = None

    @property
    def beside(self) -> Beside | None:
        """Writes what a folder keeps beside its parts; see `Folder.finish`."""
        return None if self.inputs is None else self.inputs.write

    def since(self, export: str | Path | Export, progress: bool | None) -> Plan:
        """The same with the lists of an earlier export for users whose inputs are the same."""
        assert self.inputs is not None
        earlier = Since(export, self.inputs, self.job.to_json(), progress)
        return replace(self, made=self.made_from(earlier.batches))

    def run(
        self,
        path: str | Path,
        *,
        progress: bool | None,
        checkpoint: str | Path | None,
        overwrite: bool,
    ) -> int:
        """Writes the rows to a file or a folder; returns their number. Options are those of
        `Recommender.export`."""
        return run(
            path,
            self.job,
            self.group_users,
            self.made,
            progress=progress,
            checkpoint=checkpoint,
            overwrite=overwrite,
            beside=self.beside,
        )


def planned(
    kind: str,
    owners: np.ndarray,
    item_ids: np.ndarray,
    ranked: Ranked,
    *,
    k: int,
    batch: int,
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    options: Mapping[str, Any],
    titles: Sequence[str | None] | None = None,
    inputs: Inputs | None = None,
) -> Plan:
    """The export of the lists of some users.

    kind: a key of OWNERS, which names the first column. owners: the ids of the users. item_ids: the
    ids of the items in the lists. k: rows of a user, at most. batch: users that are ranked at a
    time. model, data, options: what the lists depend on, ready for JSON. titles: of the items,
    which become the column title. inputs: what the lists of single users depend on.
    """
    schema, listed = columns(kind, owners, item_ids, titles)
    step, group, part = sizes(k, batch)
    told = {"k": k, **options, "batch_size": step}
    told["titles"] = None if titles is None else sha256_of_json(list(titles))
    job = Job(kind, model, data, told, schema, len(owners), part)

    def made_from(lists: Ranked) -> Made:
        def made(first: int, stop: int) -> Iterator[tuple[Batch, int]]:
            for rows, top in lists(first, stop, step):
                of = owners[first + rows.start : first + rows.stop]
                yield functools.partial(rows_of, schema, of, listed, top), len(of)

        return made

    return Plan(job, group, made_from(ranked), made_from, inputs)


def columns(
    kind: str, owners: np.ndarray, item_ids: np.ndarray, titles: Sequence[str | None] | None = None
) -> tuple[pa.Schema, list[pa.Array]]:
    """The schema of an export, and what is written of each item: its id, and its title if any.

    Columns: user_id, item_id (int64 or string), score (float32), rank (int32, from 1), and title
    (string).
    """
    owner = OWNERS[kind]
    listed = [as_ids(item_ids)]
    fields = [
        pa.field(owner, id_type(owners)),
        pa.field(LISTED[owner], listed[0].type),
        pa.field("score", pa.float32()),
        pa.field("rank", pa.int32()),
    ]
    if titles is not None:
        listed.append(pa.array(titles, type=pa.string()))
        fields.append(pa.field("title", pa.string()))
    return pa.schema(fields), listed


def id_type(ids: np.ndarray) -> pa.DataType:
    """The type of a column of ids, also if there are none."""
    return pa.string() if ids.dtype == object else pa.int64()


def as_ids(ids: np.ndarray) -> pa.Array:
    """Ids as int64 or string."""
    return pa.array(ids, type=id_type(ids))


def rows_of(schema: pa.Schema, owners: np.ndarray, listed: list[pa.Array], top: TopK) -> Rows:
    """A row for each item of the lists of `owners`; an empty place has none."""
    n, k = top.items.shape
    filled = top.items >= 0
    scores, items = top.scores.reshape(-1), top.items.reshape(-1)
    if filled.all():  # as nearly always
        rows, places = np.repeat(np.arange(n), k), np.tile(np.arange(k), n)
    else:
        rows, places = np.nonzero(filled)
        kept = rows * k + places
        scores, items = scores[kept], items[kept]
    codes = pa.array(items)
    ids, *titles = (column.take(codes) for column in listed)
    values = [
        as_ids(owners).take(pa.array(rows)),
        ids,
        pa.array(scores),
        pa.array((places + 1).astype(np.int32)),
        *titles,
    ]
    without = n - int(filled.any(axis=1).sum())
    return Rows(pa.Table.from_arrays(values, schema=schema), n, without)
