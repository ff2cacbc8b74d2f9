"""Codes ids in bounded memory: sorted runs of them go to disk, and are merged at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recae.data.csr import BLOCK
from recae.data.encoders import NewIds
from recae.data.idmap import Codes32
from recae.data.stored.id_files import IdWriter, as_arrow
from recae.errors import CapacityError

FAN = 64
"""Runs that are merged at a time. Each takes two open files, and a block of its ids in memory."""

RUN_BLOCK = 1 << 14
"""Ids of such a block, at most; fewer where they are long."""

INT_BYTES, TEXT_BYTES = 64, 140
"""Bytes of memory of an id in the hash tables of `NewIds`; those of the text are added."""


class Run(NamedTuple):
    """Ids in ascending order in a file, and the numbers from `first` on that stand for them.

    block: ids of a batch of the file. places: whether it says which number each id has; if not, the
    numbers ascend with the ids.
    """

    file: str
    first: int
    size: int
    block: int
    places: bool


class RunIds(NewIds):
    """Codes a column as `NewIds` does. Where the ids need more memory than `room`, they are sorted,
    written into `folder`, and forgotten: an id that comes again then gets another number.

    `merge` finds the ascending distinct ids, and for each number the code of its id.
    """

    def __init__(self, what: str, folder: Path, room: int) -> None:
        super().__init__(what)
        self.folder, self.room, self.runs = folder, room, list[Run]()

    def encode(self, column: Any, first_row: int) -> Codes32:
        """The numbers of a batch, (rows,) int32; `first_row` is the number of its first row."""
        if self.bytes() > self.room:
            self.spill()
        if self.size + len(column) > np.iinfo(np.int32).max:
            raise CapacityError(f"too many runs of {self.what} ids: pass a larger memory=")
        return super().encode(column, first_row)

    def bytes(self) -> int:
        """An estimate of the memory that the ids take."""
        held = sum(len(part.ids) for part in (self.old, self.recent))
        if not held or self.example.dtype == np.int64:
            return held * INT_BYTES
        ids = self.old.ids if len(self.old.ids) else self.recent.ids
        some = ids[:: max(len(ids) // 256, 1)]
        return held * (TEXT_BYTES + sum(map(len, some)) // len(some))

    def spill(self) -> None:
        """Writes the ids that are held as a run."""
        first = self.size - len(self.old.ids) - len(self.recent.ids)
        ids = as_arrow(self.take())
        if not len(ids):
            return
        order = pc.sort_indices(ids)
        each = ids.nbytes // len(ids) + 16
        block = min(max(self.room // (8 * FAN * each), 1), RUN_BLOCK)
        file = f"{self.what}-{len(self.runs):05d}.run"
        with _RunWriter(self.folder, file, first, block, ids.type, places=True) as run:
            for start in range(0, len(ids), block):
                places = order.slice(start, block)
                run.append(ids.take(places), places.cast(pa.int32()))
        self.runs.append(run.run)


class _RunWriter:
    """Writes a run; a block of `with` completes the file."""

    def __init__(
        self, folder: Path, file: str, first: int, block: int, type: pa.DataType, *, places: bool
    ) -> None:
        self.run, self.size = Run(file, first, 0, block, places), 0
        fields = [("id", type), *([("place", pa.int32())] if places else [])]
        self.schema = pa.schema(fields)
        self.stack = ExitStack()
        opened = self.stack.enter_context(pa.OSFile(str(folder / file), "wb"))
        self.stream = self.stack.enter_context(pa.ipc.new_stream(opened, self.schema))

    def append(self, *columns: pa.Array) -> None:
        """More ids, and their places if the run has them."""
        batch = pa.record_batch(list(columns), schema=self.schema)
        for start in range(0, len(batch), self.run.block):
            self.stream.write_batch(batch.slice(start, self.run.block))
        self.size += len(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.run = self.run._replace(size=self.size)
        self.stack.close()


def merge(
    runs: list[Run],
    folder: Path,
    out: IdWriter,
    codes: Path,
    used: npt.NDArray[np.bool_] | None,
) -> None:
    """Writes the ascending distinct ids of all runs to `out`, and to the file `codes` the code of
    each number, int32; used: the numbers that occur (None: all), the others get -1.

    More than FAN runs are first merged into longer ones, which makes no difference to the result.
    """
    with open(codes, "wb") as written:
        if len(runs) <= FAN:
            _merge(runs, folder, out, 0, written, used)
            return
        longer, first = list[Run](), 0
        for number, start in enumerate(range(0, len(runs), FAN)):
            some = runs[start : start + FAN]
            file, block = f"{codes.stem}+{number:05d}.run", min(run.block for run in some)
            type = pa.int64() if out.kind == "int" else pa.large_string()
            with _RunWriter(folder, file, first, block, type, places=False) as to:
                _merge(some, folder, to, first, written, used)
            longer.append(to.run)
            first += to.size
    path = codes.with_name(f"{codes.stem}+.codes")
    merge(longer, folder, out, path, None)
    numbers, codes_of = np.memmap(codes, np.int32, "r+"), np.memmap(path, np.int32, "r")
    for start in range(0, len(numbers), BLOCK):
        part = numbers[start : start + BLOCK]
        part[:] = np.where(part < 0, part, codes_of[part])


def _merge(
    runs: list[Run],
    folder: Path,
    out: IdWriter | _RunWriter,
    first: int,
    codes: BinaryIO,
    used: npt.NDArray[np.bool_] | None,
) -> None:
    """Merges some runs; the codes of their numbers count from `first`."""
    ranked = [folder / f"{run.file}.codes" for run in runs]
    with ExitStack() as stack:
        files = [stack.enter_context(open(path, "wb")) for path in ranked]
        heads = [_Head(_batches(folder / run.file, stack), run, used) for run in runs]
        while any(heads):
            last = min(head.ids[-1].as_py() for head in heads if head)
            parts = [head.take(last) for head in heads]
            ids = pa.concat_arrays(parts)
            order = pc.sort_indices(ids)
            ids = ids.take(order)
            new = np.ones(len(ids), np.bool_)
            new[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
            found = np.empty(len(ids), np.int32)
            found[order.to_numpy()] = first + out.size + np.cumsum(new) - 1
            ends = np.cumsum([len(part) for part in parts])
            for file, some in zip(files, np.split(found, ends[:-1]), strict=True):
                file.write(some.data)
            out.append(ids.filter(pa.array(new)))
    for run, path in zip(runs, ranked, strict=True):
        if run.places:
            places = np.concatenate([batch["place"].to_numpy() for batch in _read(folder, run)])
            if used is not None:
                places = places[used[run.first + places]]
            of_run = np.full(run.size, -1, np.int32)
            of_run[places] = np.fromfile(path, np.int32)
            codes.write(of_run.data)
        else:
            with open(path, "rb") as ascending:
                shutil.copyfileobj(ascending, codes)
        path.unlink()


def _read(folder: Path, run: Run) -> Iterator[pa.RecordBatch]:
    with ExitStack() as stack:
        yield from _batches(folder / run.file, stack)


def _batches(path: Path, stack: ExitStack) -> Iterator[pa.RecordBatch]:
    opened = stack.enter_context(pa.OSFile(str(path), "rb"))
    return iter(stack.enter_context(pa.ipc.open_stream(opened)))


class _Head:
    """The first ids of a run that are not merged yet; false at its end."""

    def __init__(
        self, batches: Iterator[pa.RecordBatch], run: Run, used: npt.NDArray[np.bool_] | None
    ) -> None:
        self.batches, self.run, self.used = batches, run, used
        self.ids: Any = None
        self._next()
        self.type: Any = pa.null() if self.ids is None else self.ids.type

    def __bool__(self) -> bool:
        return len(self.ids) > 0

    def take(self, last: Any) -> pa.Array:
        """The ids up to this one, which are merged now."""
        taken = []
        while len(self.ids):
            n = int(pc.sum(pc.less_equal(self.ids, pa.scalar(last, self.type))).as_py())
            taken.append(self.ids.slice(0, n))
            self.ids = self.ids.slice(n)
            if len(self.ids):
                break
            self._next()
        return pa.concat_arrays(taken) if taken else pa.array([], self.type)

    def _next(self) -> None:
        """Reads on to the next ids of this run that are used; an empty array marks the end."""
        for batch in self.batches:
            ids = batch["id"]
            if self.used is not None:
                ids = ids.filter(pa.array(self.used[self.run.first + batch["place"].to_numpy()]))
            if len(ids):
                self.ids = ids
                return
            self.ids = ids
        if self.ids is not None:
            self.ids = self.ids.slice(0, 0)
