"""Fuzzing: random files, frames and requests must raise only recae's own errors.

    python -m evaluation fuzz --cases 10000

Hypothesis draws the cases and looks for the smallest one that raises any other error. A list that
is returned must hold no seen item, no item twice and no more than k items.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import recae

HEADER = b"user_id,item_id,weight,timestamp\n"
PLAYS = pd.DataFrame({"user_id": [1, 1, 2, 3, 3, 3], "item_id": [7, 8, 7, 8, 9, 10]})
MODELS = [recae.EASE().fit(PLAYS), recae.ItemKNN().fit(PLAYS), recae.Popularity().fit(PLAYS)]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(),
    st.builds(uuid.uuid4),
    st.sampled_from([1, 2, 7, 8, 99, "a", np.int8(3), np.float32(1), datetime.timedelta(1)]),
)
columns = st.one_of(
    st.lists(scalars, min_size=3, max_size=3),
    st.lists(st.integers(-3, 9), min_size=3, max_size=3),
    st.lists(st.floats(width=32), min_size=3, max_size=3),
    st.lists(st.text(max_size=3), min_size=3, max_size=3),
)
fields = st.text("0123456789.,-eE\"'\n\r\t abN\x00é", max_size=60)
lists = st.one_of(scalars, st.lists(scalars, max_size=4), st.lists(st.integers(1, 11), max_size=4))
names = st.sampled_from(["user_id", "item_id", "weight", "timestamp", "other"])
matrices = st.builds(
    lambda rows, width, value: sp.csr_matrix(np.full((rows, width), value)),
    st.integers(0, 3),
    st.integers(0, 6),
    st.floats(),
)


def quiet(call: Callable[[], Any]) -> Any:
    """The result, or None if recae raises its own error. Any other exception is a finding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except recae.RecaeError:
            return None


@given(
    st.one_of(
        st.binary(max_size=80),
        fields.map(lambda text: HEADER + text.encode()),
        fields.map(lambda text: gzip.compress(HEADER + text.encode())),
    ),
    st.sampled_from([".csv", ".tsv", ".csv.gz", ".parquet"]),
    st.integers(0, 90),
)
def files(content: bytes, ending: str, cut: int) -> None:
    """Reads a file of random bytes whose last `cut` bytes are missing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"plays{ending}"
        path.write_bytes(content[: max(len(content) - cut, 0)] if cut > 60 else content)
        quiet(lambda: recae.read_table(path))


@given(
    st.dictionaries(names, columns, max_size=5), st.sampled_from(["last", "sum", "max", "error"])
)
def frames(content: dict[str, list[Any]], duplicates: str) -> None:
    """Frames of columns of any types."""
    frame = quiet(lambda: pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in content.items()}))
    for table in (frame, frame.infer_objects()):
        data = quiet(lambda t=table: recae.Interactions.from_frame(t, duplicates=duplicates))
        if data is not None:
            assert data.nnz <= 3 and np.isfinite(data.matrix.data).all()


@given(
    st.integers(0, 2),
    lists,
    st.one_of(st.integers(-2, 6), scalars),
    lists,
    lists,
    st.sampled_from(["raise", "skip", "popular", "other"]),
    st.one_of(st.just("auto"), scalars),
)
def questions(
    number: int, users: Any, k: Any, items: Any, without: Any, on_unknown: str, size: Any
) -> None:
    """Random values for every argument of `recommend`."""
    options = {"items": items, "exclude_items": without, "on_unknown": on_unknown}
    top = quiet(lambda: MODELS[number].recommend(users, k, batch_size=size, **options))
    if top is not None:
        assert top.merge(PLAYS, on=["user_id", "item_id"]).empty or top.empty
        for _, rows in top.groupby("user_id"):
            assert rows["rank"].max() <= k


@given(
    st.integers(0, 2),
    st.one_of(scalars, matrices, st.lists(scalars, max_size=3), columns.map(pd.Series)),
    st.integers(1, 20_000),
)
def histories(number: int, history: Any, k: int) -> None:
    """Random values for a history."""
    quiet(lambda: MODELS[number].score(history))
    quiet(lambda: MODELS[number].recommend_array(history, k, on_unknown="popular"))


CHECKS = {"files": files, "frames": frames, "questions": questions, "histories": histories}


def run(check: Callable[[], None], cases: int, number: int = 0) -> int:
    """Runs a check on `cases` random cases and returns how many ran. Raises the error it finds."""
    ran = 0
    inner = check.hypothesis.inner_test  # type: ignore[attr-defined]

    def counted(*arguments: Any, **named: Any) -> None:
        nonlocal ran
        ran += 1
        inner(*arguments, **named)

    check.hypothesis.inner_test = counted  # type: ignore[attr-defined]
    try:
        quiet_settings = settings(
            max_examples=cases,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(quiet_settings(check))()
    finally:
        check.hypothesis.inner_test = inner  # type: ignore[attr-defined]
    return ran


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all checks and prints the number of cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    total = 0
    for name, check in CHECKS.items():
        started = time.perf_counter()
        ran = run(check, -(-options.cases // len(CHECKS)), options.seed)
        total += ran
        print(f"{name:<10} {ran:6,} cases, {time.perf_counter() - started:.0f} s", flush=True)
    print(f"{total:,} cases without an exception other than recae's")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
