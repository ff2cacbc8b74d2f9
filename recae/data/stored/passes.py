"""The passes of an ingest and the record of those that are complete, from which it goes on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recae.data.encoders import KnownIds
from recae.data.idmap import IdMap
from recae.data.scratch import on_disk
from recae.data.stored.arrays import HEAD, mapped
from recae.data.stored.coding import Run, RunIds, merge
from recae.data.stored.folder import FORMAT, write_about
from recae.data.stored.id_files import IdWriter, as_arrow, id_files, read_ids
from recae.data.stored.mapped_ids import open_ids
from recae.data.stored.matrix import finish_matrix, write_matrix
from recae.data.stored.rows import Recoded, RowFile, cut, divide, record
from recae.data.tables import columns as table
from recae.data.tables.entries import read_rows
from recae.data.tables.files import ParquetSource
from recae.data.tables.merging import warn_of_repetitions
from recae.data.tables.sources import ArrowSource, CursorSource, Source
from recae.data.tables.text import TextSource
from recae.errors import DataError, check_number
from recae.system.machine import __version__
from recae.system.progress import bar, say

STATE, ROWS, DONE = "state.json", "all.rows", "done"

IDS_SHARE, BLOCKS_SHARE, ROW_BYTES = 0.25, 0.25, 140
"""The share of the memory for the hash table of users or of items, and for the blocks of the table;
bytes of a row while a part is sorted."""


class Passes:
    """The work of `ingest` in a directory. job: all that the result depends on; what was done for
    another job, or without one, is deleted. room: bytes of memory."""

    def __init__(self, work: Path, job: str | None, room: int, progress: bool | None) -> None:
        self.work, self.ids, self.out = work, work / "ids", work / DONE
        self.room, self.progress = room, progress
        self.state: dict[str, Any] = {"job": job}
        try:
            found = json.loads((work / STATE).read_text(encoding="utf-8"))
            resumed = job is not None and found["job"] == job
        except (OSError, ValueError, KeyError, TypeError):
            resumed = False
        if resumed:
            self.state = found
            say(f"ingesting: resumed after the pass {list(found)[-1]!r}, {work}", progress)
            return
        (work / STATE).unlink(missing_ok=True)  # first: a kill must not leave it without its files
        for path in work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.out.mkdir()
        self.ids.mkdir()

    def has(self, name: str) -> bool:
        """Whether a pass is complete."""
        return name in self.state

    def keep(self) -> None:
        """Records the passes so far, once their files are on the disk."""
        for path in self.work.rglob("*"):
            if path.is_file():
                _sync(path)
        part = self.work / f"{STATE}.part"
        part.write_text(json.dumps(self.state), encoding="utf-8")
        _sync(part)
        part.replace(self.work / STATE)
        pa.default_memory_pool().release_unused()  # for the next pass

    def read(
        self,
        source: Source,
        columns: table.Columns,
        duplicates: str,
        min_weight: float | None,
        users: IdMap | None,
        items: IdMap | None,
        on_bad_rows: str,
    ) -> None:
        """The first pass: coded rows and runs of ids."""
        names = table.needed_columns(source.headers, columns)
        if min_weight is not None:
            min_weight = check_number("min_weight", min_weight)
            if names[2] is None:
                raise DataError("min_weight= needs a weight column, and there is none")
        if isinstance(source, ParquetSource | TextSource | ArrowSource | CursorSource):
            source.limit(
                [name for name in names if name is not None], int(BLOCKS_SHARE * self.room)
            )
        room = int(IDS_SHARE * self.room)
        coders: dict[str, RunIds | KnownIds] = {
            what: RunIds(what, self.work, room) if known is None else KnownIds(known)
            for what, known in (("user", users), ("item", items))
        }
        weighted, timed = names[2] is not None, names[3] is not None
        rows = RowFile(self.work / ROWS, record(weighted, timed))
        dropped = read_rows(
            source,
            names,
            min_weight,
            coders["user"],
            coders["item"],
            self.progress,
            rows,
            on_bad_rows,
        )
        about: dict[str, Any] = {}
        for what, coder in coders.items():
            if isinstance(coder, RunIds):
                coder.spill()
                kind = "int" if coder.example.dtype == np.int64 else "str"
                about[what] = {"kind": kind, "numbers": coder.size, "runs": coder.runs}
            else:
                about[what] = {"kind": coder.ids.kind}
        table.warn_of_unused(source.headers, columns, names)
        self.state["rows"] = about | {
            "label": source.label,
            "rows": rows.size,
            "dropped": dropped,
            "weighted": weighted,
            "timed": timed,
        }

    def divide(self, users: IdMap | None, items: IdMap | None) -> None:
        """The second pass: sorted ids, and the rows by parts of users."""
        about = self.state["rows"]
        rows = RowFile(self.work / ROWS, record(about["weighted"], about["timed"]), about["rows"])
        sizes: dict[str, int] = {}
        facts: dict[str, Any] = {}
        codes: dict[str, Any] = {}
        for what, known in (("user", users), ("item", items)):
            with IdWriter(self.ids, what, about[what]["kind"]) as out:
                if known is not None:
                    for piece in known.pieces():
                        out.append(as_arrow(piece))
                else:
                    used = self._used(rows, what) if about["dropped"] else None
                    runs = [Run(*run) for run in about[what]["runs"]]
                    merge(runs, self.work, out, self.work / f"{what}.codes", used)
                    file = self.work / f"{what}.codes"
                    codes[what] = np.memmap(file, np.int32, "r", shape=about[what]["numbers"])
            sizes[what] = out.size
            ascending = known is None or known.ascending
            facts[what] = {"kind": about[what]["kind"], "ascending": ascending}
        recoded = Recoded(rows, codes.get("user"), codes.get("item"))
        starts = cut(recoded, sizes["user"], max(self.room // ROW_BYTES, 1))
        with bar(rows.size, "dividing", "row", self.progress) as shown:
            divide(recoded, starts, self.work, shown)
        self.state["parts"] = {"starts": starts.tolist(), "ids": facts, **sizes}
        self.keep()
        for path in (rows.path, *self.work.glob("*.codes"), *self.work.glob("*.run")):
            path.unlink()

    def _used(self, rows: RowFile, what: str) -> npt.NDArray[np.bool_]:
        """The numbers of ids that have a row; others were in rows that were dropped."""
        numbers = self.state["rows"][what]["numbers"]
        used: npt.NDArray[np.bool_] = on_disk(self.work, numbers, np.bool_)
        for part in rows.blocks():
            used[part[what]] = True
        return used

    def finish(
        self,
        duplicates: str,
        min_weight: float | None,
        options: dict[str, Any],
        *,
        drop_users: bool,
        drop_items: bool,
    ) -> None:
        """The last pass: the arrays of the matrix, and data.json with the `options`."""
        about, parts = self.state["rows"], self.state["parts"]
        shutil.rmtree(self.out)  # of a process that was killed here
        self.out.mkdir()
        kind = record(about["weighted"], about["timed"])
        with bar(about["rows"], "sorting", "row", self.progress) as shown:
            matrix, repeated, used = write_matrix(
                self.work,
                np.array(parts["starts"]),
                kind,
                parts["item"],
                duplicates,
                min_weight,
                self.out,
                about["label"],
                shown,
            )
        if repeated is not None:
            raise repeated.error(*(self._map(what) for what in ("user", "item")))
        warn_of_repetitions(about["rows"] - matrix.cells, about["rows"], duplicates, about["label"])
        thresholded = min_weight is not None
        items = used if drop_items and thresholded and not used.all() else None
        kept = self.work / "kept.npy" if drop_users and thresholded else None
        finish_matrix(self.out, matrix, items, kept)
        users = None if kept is None else mapped(kept, "?", parts["user"])
        sizes = {"user": self._write_ids("user", users), "item": self._write_ids("item", items)}
        write_about(
            self.out,
            {
                "format": FORMAT,
                "recae": __version__,
                "users": sizes["user"],
                "items": sizes["item"],
                "interactions": matrix.interactions,
                "rows": about["rows"],
                "options": options,
                "weighted": matrix.weighted,
                "times": about["timed"],
                "ids": {what: parts["ids"][what] for what in sizes},
            },
        )

    def _map(self, what: str) -> IdMap:
        """All ids of the second pass."""
        kind, size = self.state["rows"][what]["kind"], self.state["parts"][what]
        text = self.ids / f"{what}s.text.npy"
        n_bytes = text.stat().st_size - HEAD if kind == "str" else 0
        ascending = self.state["parts"]["ids"][what]["ascending"]
        return open_ids(self.ids, what, kind, size, n_bytes, ascending)

    def _write_ids(self, what: str, kept: npt.NDArray[np.bool_] | None) -> int:
        """Writes the ids of the second pass, all or those that are kept; returns their number."""
        kind, size = self.state["rows"][what]["kind"], self.state["parts"][what]
        if kept is None:
            for name in id_files(what, kind):
                shutil.copyfile(self.ids / name, self.out / name)
            return int(size)
        at = 0
        with IdWriter(self.out, what, kind) as out:
            for ids in read_ids(self.ids, what, kind):
                out.append(ids.filter(pa.array(kept[at : at + len(ids)])))
                at += len(ids)
        return out.size


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
