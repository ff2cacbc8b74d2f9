"""Forecasts time, bytes and memory of an export from a sample of its users."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from recae.errors import explained
from recae.ranking.batches import ROWS
from recae.ranking.top_k import TopK
from recae.recommend.export.histories import write_digests
from recae.recommend.export.lists import Plan
from recae.recommend.export.writing import DEPTH, ITEMS, PartWriter, Writers, parquet_writer
from recae.rng import Stream, numpy_generator
from recae.system.digests import sha256
from recae.system.machine import peak_gb
from recae.system.memory import PeakMemory

WARM, SHORT, LONG = 0.1, 0.4, 2.2
"""Seconds of the last run that warms up, and of the two whose difference is the time of users."""
BATCHES = 4
"""Batches of the long run, so that ranking and writing overlap in it as they will; fewer if these
would be too small for all threads."""
FEWEST = 64
"""Users of the first run."""
SMALL_FILES = 4
"""Files of a folder beside its parts, each of which waits for the disk."""
DIGESTS = 1 << 16
"""Users whose digests are written for their size."""
WAITING = 64
"""Bytes of a row on its way to the file: its columns, their copy in one piece, the pages."""


@explained
@dataclass(frozen=True)
class Forecast:
    """What an export will take, from a sample of its users; see `Recommender.export`.

    seconds: of the call, on the wall. The model is loaded and the histories are read by then; their
    time is known, and not counted. bytes: on disk, in the end. memory: bytes, the most that the
    process will hold, the model and the histories among them. rows: of the export. users: how many
    it has. sampled: users of the sample.

    >>> forecast = recae.EASE().fit(data).export("lists", data, k=2, dry_run=True)
    >>> forecast.users, forecast.rows
    (5, 9)
    """

    seconds: float
    bytes: int
    memory: int
    rows: int
    users: int
    sampled: int

    @property
    def users_per_second(self) -> float:
        """Users a second, over all of the time."""
        return self.users / self.seconds if self.seconds > 0 else math.nan

    def __str__(self) -> str:
        long = self.seconds >= 60
        length = tqdm.format_interval(self.seconds) if long else f"{self.seconds:.1f} s"
        return (
            f"{self.users:,} users, {self.rows:,} rows: about {length} "
            f"({self.users_per_second:,.0f} users a second), {self.bytes / 1e6:,.2f} MB on disk, "
            f"{self.memory / 1e6:,.0f} MB of memory; from {self.sampled:,} users"
        )


def forecast(plan: Plan, planning: float, *, file: bool, twice: bool) -> Forecast:
    """Ranks and writes random users to a temporary folder, and extrapolates.

    planning: seconds that the plan took. file: whether one file will be written; twice: whether its
    rows are first written to a checkpoint. Takes some three seconds, however many users there are.
    """
    users, most = plan.job.users, int(plan.job.options["batch_size"])
    with tempfile.TemporaryDirectory(prefix="recae-forecast-") as folder, PeakMemory() as memory:
        sample = _Sample(plan, Path(folder))
        n = first = min(FEWEST, users)
        seconds = cold = sample.run(first, FEWEST)
        while seconds < WARM and n < users:  # these runs warm up, and say how many users to take
            n = min(4 * n, users)
            seconds = sample.run(n, min(max(n // 2, 1), most))
        rate = n / seconds
        step = max(rate * LONG / BATCHES, min(ROWS * torch.get_num_threads(), rate * LONG / 2))
        step = min(max(int(step), 1), most)
        few, many = (
            min(max(int(rate * SHORT), step), users),
            min(max(int(rate * LONG), step, first), users),
        )
        short, long = sample.run(few, step), sample.run(many, step)
        each = (long - short) / (many - few) if many > few and long > short else long / max(many, 1)
        more, size, small = sample.beside(file, twice)
        bytes_per_row = sample.bytes_per_row()
    rows = round(sample.rows * users / max(many, 1))
    waiting = min(2 * plan.group_users + DEPTH * most, users) - many
    held = memory.peak + max(waiting, 0) * WAITING * rows // max(users, 1)
    # The first batch meets a process that is not warm yet, as in the first run.
    cold = max(cold - first * each, 0)
    return Forecast(
        seconds=planning + cold + (each + more) * users + SMALL_FILES * small,
        bytes=round(bytes_per_row * rows + size * users),
        memory=max(held, round(peak_gb() * 1e9)),
        rows=rows,
        users=users,
        sampled=many,
    )


class _Sample:
    """Runs the plan for random users. rows: of the last run."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        assert plan.inputs is not None
        self.plan, self.inputs, self.folder = plan, plan.inputs, folder
        self.random = numpy_generator(0, Stream.FORECAST_USERS)
        self.users = self.rows = 0

    @property
    def file(self) -> Path:
        """What the last run has written."""
        return self.folder / "part.parquet"

    def run(self, users: int, step: int) -> float:
        """Seconds to rank and write so many random users, so many at a time."""
        every = self.plan.job.users
        chosen = (np.arange(users) + self.random.random(users)) * (every / max(users, 1))
        which = np.minimum(chosen.astype(np.int64), every - 1)

        middle = (every - users) // 2  # ids that follow one another are smaller than random ones

        def ranked(first: int, stop: int, _: int) -> Iterable[tuple[slice, TopK]]:
            return self.inputs.rank(which[first - middle : stop - middle], step)

        started = time.perf_counter()
        writer = PartWriter(self.file, self.plan.job.written_schema, self.plan.group_users)
        with Writers() as writers:
            writers.begin(writer)
            for batch, _ in self.plan.made_from(ranked)(middle, middle + users):
                writers.put(writer, batch)
            writers.put(writer, None)
        sha256(self.file)
        self.users, self.rows = users, writer.counts["rows"]
        return time.perf_counter() - started

    def beside(self, file: bool, twice: bool) -> tuple[float, float, float]:
        """Seconds and bytes of a user beyond the rows, and the seconds of a small file.

        A folder keeps digests; of a checkpoint a copy is made.
        """
        users, started = min(self.plan.job.users, DIGESTS), time.perf_counter()
        if not users or (file and not twice):
            return 0.0, 0.0, 0.0
        write_digests(self.folder, self.inputs.users[:1], np.zeros(1, dtype=np.uint64))
        small, started = time.perf_counter() - started, time.perf_counter()
        found = self.random.integers(0, 2**63, users).astype(np.uint64)  # they do not repeat
        middle = (self.plan.job.users - users) // 2
        some = self.inputs.users[middle : middle + users]
        size = write_digests(self.folder, some, found)["bytes"]
        if file:
            users, size, started = self.users, 0, time.perf_counter()
            with pq.ParquetFile(self.file) as parquet:
                copy, schema = self.folder / "joined.parquet", parquet.schema_arrow
                with parquet_writer(copy, schema) as writer:
                    for group in range(parquet.num_row_groups):
                        writer.write_table(parquet.read_row_group(group))
        return max(time.perf_counter() - started - small, 0) / users, size / users, small

    def bytes_per_row(self) -> float:
        """Bytes of a row in a file of many row groups."""
        found = pq.read_metadata(self.file)
        groups = [found.row_group(number) for number in range(found.num_row_groups)]
        if not found.num_rows:
            return 0.0
        wanted = min(self.plan.group_users, self.plan.job.users) / self.users
        columns = range(groups[0].num_columns)
        size = sum(groups[0].column(column).total_compressed_size for column in columns)
        if wanted > 1 and groups[0].column(ITEMS).has_dictionary_page:
            size += self._larger_dictionary(groups[0].column(ITEMS), wanted)
        found_bytes: float = size / groups[0].num_rows
        return found_bytes

    def _larger_dictionary(self, column: Any, times: float) -> float:
        """How many bytes the item ids of the sample would take more in a row group that is so many
        times as large.

        There, more of the rows share the list of the different ids, whose number grows as a power
        of the rows (Heaps' law), and indices into it have as many bits as it needs.
        """
        values = pq.read_table(self.file, columns=[column.path_in_schema]).column(0)
        half, now = (len(values.slice(0, n).unique()) for n in (len(values) // 2, len(values)))
        growth = math.log2(max(now / max(half, 1), 1))
        later = min(now * times**growth, len(self.inputs.items))
        dictionary = column.data_page_offset - column.dictionary_page_offset
        indices = column.total_compressed_size - dictionary
        bits = [max(math.ceil(math.log2(max(different, 2))), 1) for different in (now, later)]
        more: float = dictionary * (later / now / times - 1) + indices * (bits[1] / bits[0] - 1)
        return more
