"""Takes over the lists of an earlier export for users whose history is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import IdMap
from recae.errors import ConfigError
from recae.ranking.top_k import TopK
from recae.recommend.export.blocks import whole_lists
from recae.recommend.export.histories import Inputs, read_digests
from recae.recommend.export.manifest import differences
from recae.recommend.export.opened import READ_ERRORS, Export, open_export
from recae.system.files import as_path
from recae.system.progress import say

OF_ONE_USER = ("users", "excluded", "titles", "batch_size")
"""Options that may differ: digests hold what they mean for a user, and titles are joined again."""

Square = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Items, -1 in empty places, and scores, -inf there, (users, k) each."""


class Since:
    """The lists of an export, those of unchanged users taken over from an earlier one.

    since: the earlier export or its path. inputs: what the lists depend on. about: the job, as in
    the manifest. kept: (n,) bool, whose lists are taken over. Users in another order than in the
    earlier export are ranked again, and those who come twice.

    Raises ConfigError for an export that lists cannot be taken from, with the reason, and DataError
    for one that is damaged.
    """

    def __init__(
        self,
        since: str | Path | Export,
        inputs: Inputs,
        about: Mapping[str, Any],
        progress: bool | None,
    ) -> None:
        self.export = export = since if isinstance(since, Export) else open_export(since)
        self.rank, self.items, self.k = inputs.rank, inputs.items, inputs.k
        manifest = export.manifest
        if not export.path.is_dir() or "histories" not in manifest:
            raise _refused(export, "only an export to a folder keeps digests of the histories")
        differ = differences(_for_all(manifest), _for_all(about))
        if differ:
            raise _refused(export, f"other: {', '.join(differ)}")
        self.users, before = read_digests(export.path, manifest["histories"])
        if pd.Series(self.users, dtype=self.users.dtype).duplicated().any():
            raise _refused(export, "it has users twice")
        self.firsts = np.array([part["first_user"] for part in manifest["parts"]])
        self.places = places = IdMap(self.users, "user").lookup(inputs.users)
        same = places >= 0
        same[same] = before[places[same]] == inputs.digests[same]
        self.old = _Old(self)
        wanted = np.where(same, places, -1)
        last = np.append(-1, np.maximum.accumulate(wanted))[:-1]
        self.kept = same & (wanted > last)  # the others would have to be looked for in all parts
        say(
            f"exporting: the lists of {int(self.kept.sum()):,} of {len(places):,} users are taken "
            f"over from {export.path}",
            progress,
        )

    def batches(self, first: int, stop: int, step: int) -> Iterator[tuple[slice, TopK]]:
        """The lists of the users from a number to another one, so many at a time."""
        rest = np.flatnonzero(~self.kept[first:stop])
        fresh = self._empty(len(rest))
        for rows, top in self.rank(rest + first, step) if len(rest) else ():
            fresh[0][rows], fresh[1][rows] = top.items, top.scores
        for start in range(first, max(stop, first + 1), step):
            end = min(start + step, stop)
            items, scores = self._empty(end - start)
            low, high = np.searchsorted(rest + first, [start, end])
            items[rest[low:high] + first - start] = fresh[0][low:high]
            scores[rest[low:high] + first - start] = fresh[1][low:high]
            self.old.fill(items, scores, start, end)
            yield slice(start - first, end - first), TopK(items, scores)

    def _empty(self, users: int) -> Square:
        items = np.full((users, self.k), -1, dtype=np.int32)
        return items, np.full(items.shape, -np.inf, dtype=np.float32)


class _Old:
    """Reads the earlier lists of users that come in their order, part by part."""

    def __init__(self, since: Since) -> None:
        self.since, self.part = since, -1
        self.lists: Square = since._empty(0)

    def fill(self, items: Any, scores: Any, start: int, end: int) -> None:
        """Fills in the lists that are taken over, of the users from a number to another one."""
        since = self.since
        rows = np.flatnonzero(since.kept[start:end])
        places = since.places[rows + start]
        parts = np.searchsorted(since.firsts, places, "right") - 1
        for part in np.unique(parts).tolist():
            if part != self.part:
                self.lists, self.part = self._read(part), part
            mine = parts == part
            at = places[mine] - since.firsts[part]
            items[rows[mine]], scores[rows[mine]] = (lists[at] for lists in self.lists)

    def _read(self, number: int) -> Square:
        """All lists of a part. Raises DataError for one that is not as it was written."""
        since, export = self.since, self.since.export
        part = export.manifest["parts"][number]
        fault = export._fault(part)
        if fault is not None:
            raise export._damaged(*fault)
        first = part["first_user"]
        known = IdMap(since.users[first : first + part["users"]], "user")
        items, scores = since._empty(len(known))
        try:
            for block in whole_lists(_batches(export.path / part["file"])):
                rows = np.repeat(known.encode(block.owners), np.diff(block.starts))
                items[rows, block.places] = since.items.encode(block.columns[1])
                scores[rows, block.places] = block.columns[2].to_numpy()
        except (*READ_ERRORS, IndexError) as error:
            raise export._damaged(part["file"], f"cannot be read ({error})") from error
        export._check_same()  # since the checksum was compared
        return items, scores


def path_of(export: str | Path | Export) -> Path:
    """Where an export is."""
    return export.path if isinstance(export, Export) else as_path(export)


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    columns = ["user_id", "item_id", "score"]
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(columns=columns):
            yield batch.select(columns)


def _for_all(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the lists of all users depend on, of a manifest or a job."""
    names = ("recae", "kind", "model", "options", "schema")
    found: dict[str, Any] = {name: about.get(name) for name in names}
    found["options"] = {**found["options"]}
    for name in OF_ONE_USER:
        found["options"].pop(name, None)
    found["schema"] = {**found["schema"]}
    found["schema"].pop("title", None)
    rules = found["options"].get("rules")
    if rules is not None:
        found["options"]["rules"] = {name: rules[name] for name in rules if name != "allowed"}
    return found


def _refused(export: Export, reason: str) -> ConfigError:
    return ConfigError(
        f"the lists of {export.path} cannot be taken over: {reason}; leave out since=...",
        parameter="since",
        value=str(export.path),
    )
