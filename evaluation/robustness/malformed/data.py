"""Malformed tables, matrices and files, with a pattern that each error message must match."""

from __future__ import annotations

import datetime
import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

import recae

Case = tuple[str, str, Callable[[], object], str]
"""Group, description of the fault, the call, and the pattern that its message must match."""

PAIRS = {"user_id": [1, 1, 2], "item_id": [7, 8, 7]}


def frame(**columns: Any) -> pd.DataFrame:
    """A frame of three valid rows, with some columns replaced."""
    return pd.DataFrame(PAIRS | columns)


def tables() -> Iterator[Case]:
    """Frames with invalid columns."""
    read = recae.Interactions.from_frame
    bad: dict[str, tuple[Any, str]] = {
        "a float": ([1.5, 2, 3], "user ids .*floats"),
        "a whole float": ([1.0, 2, 3], "user ids .*floats.*int"),
        "None": (["a", None, "b"], "missing .*1 of 3 rows, .*row 1"),
        "NaN": ([1, np.nan, 2], "missing.*row 1"),
        "text among integers": ([1, "a", 2], "mix .*'a' at row 1"),
        "a bool": ([True, False, True], "not bool"),
        "bytes": ([b"a", b"b", b"c"], "b'a'.*row 0"),
        "a list": ([[1], [2], [3]], r"\[1\].*row 0"),
        "beyond 64 bits": ([2**70, 1, 2], "64 bits.*row 0"),
        "unsigned beyond": (np.array([2**63, 1, 2], dtype=np.uint64), "64 bits"),
        "a moment": (pd.to_datetime(["2026-01-01 10:00"] * 3), "time of day"),
        "a timedelta": (pd.to_timedelta([1, 2, 3]), "timedelta"),
        "a complex number": ([1j, 2, 3], "complex"),
        "a date among text": ([datetime.date(2026, 1, 1), "a", "b"], "mix .*text .*dates"),
    }
    for what, (values, words) in bad.items():
        yield "user ids", what, lambda values=values: read(frame(user_id=values)), words
    weights: dict[str, tuple[Any, str]] = {
        "NaN": ([1, np.nan, 1], "column 'weight' .*missing .*row 1"),
        "inf": ([1, 1, np.inf], "column 'weight' .*inf .*row 2"),
        "negative": ([1, -2, 1], "weights .*> 0; .*-2.*row 1.*min_weight"),
        "zero": ([0, 1, 1], "weights .*> 0; .*0.*row 0"),
        "text": (["a", "b", "c"], "weights .*numbers"),
        "bool": ([True, True, False], "weights .*numbers"),
        "beyond float32": ([1e300, 1, 1], "float32.*1e\\+300"),
        "a list": ([[1], [2], [3]], "weights .*numbers"),
    }
    for what, (values, words) in weights.items():
        yield "weights", what, lambda values=values: read(frame(weight=values)), words
    times: dict[str, tuple[Any, str]] = {
        "NaT": (pd.to_datetime(["2026-01-01", None, "2026-01-02"]), "missing .*1 of 3 .*row 1"),
        "a fraction": ([1.5, 2, 3], "times .*1.5 .*row 0"),
        "text": (["yesterday", "b", "c"], "to_datetime"),
        "inf": ([np.inf, 1, 2], "whole numbers"),
        "a year far away": (np.array(["3000-01-01"] * 3, dtype="M8[s]"), "1678 to 2262"),
    }
    for what, (values, words) in times.items():
        yield "times", what, lambda values=values: read(frame(timestamp=values)), words
    yield "columns", "misspelt", lambda: read(frame(), user="userid"), "user='user_id'"
    yield "columns", "absent", lambda: read(frame(), time="when"), "'when' is needed.*columns: user"
    yield "columns", "the same twice", lambda: read(frame(), item="user_id"), "different columns"
    twice = pd.DataFrame([[1, 2, 3]], columns=["user_id", "item_id", "item_id"])
    yield "columns", "two of one name", lambda: read(twice), "'item_id'.*several"
    yield "rows", "none", lambda: read(frame()[:0]), "no rows"
    yield "rows", "repeated", lambda: read(frame(item_id=[7, 7, 7]), duplicates="error"), "user 1"
    yield "rows", "unknown rule", lambda: read(frame(), duplicates="newest"), "Known: error, first"
    yield "rows", "none heavy enough", lambda: read(frame(weight=[1, 2, 3]), min_weight=9), ">= 9"
    yield "rows", "threshold without weights", lambda: read(frame(), min_weight=1), "weight column"
    for thing in ([(1, 2)], "plays.csv", 7, None, {"user_id": [1]}, np.ones((2, 2))):
        name = type(thing).__name__
        yield "tables", name, lambda thing=thing: read(thing), f"table .*not {name}"


def matrices() -> Iterator[Case]:
    """Matrices that are not sparse, or not of interactions."""
    make = recae.Interactions.from_csr
    good = sp.csr_matrix(np.eye(3))

    def damaged(**parts: Any) -> Any:
        matrix = good.copy()
        for name, values in parts.items():
            setattr(matrix, name, np.array(values))
        return matrix

    yield "matrices", "NaN", lambda: make(good * np.nan), "nan"
    yield "matrices", "negative", lambda: make(-good), "> 0"
    yield "matrices", "inf", lambda: make(good * np.inf), "inf"
    yield "matrices", "complex", lambda: make(good * 1j), "complex128"
    yield "matrices", "dense", lambda: make(np.eye(3)), "sparse matrix.*ndarray"
    yield "matrices", "too few ids", lambda: make(good, users=["a"]), "3 users, but 1 user ids"
    yield "matrices", "ids twice", lambda: make(good, users=list("aab")), "distinct; 'a' at"
    yield "matrices", "column out of range", lambda: make(damaged(indices=[0, 1, 9])), "damaged|9"
    yield "matrices", "falling indptr", lambda: make(damaged(indptr=[0, 2, 1, 3])), "damaged"


def files(here: Path) -> Iterator[Case]:
    """Files that are missing, damaged or of another kind."""
    frame().to_parquet(here / "good.parquet")
    frame().to_csv(here / "good.csv", index=False)
    whole = (here / "good.parquet").read_bytes()
    contents = {
        "empty.parquet": b"",
        "cut.parquet": whole[:-30],
        "head.parquet": whole[30:],
        "noise.parquet": bytes(range(256)) * 9,
        "text.parquet": b"user_id,item_id\n1,2\n",
        "empty.csv": b"",
        "header.csv": b"user_id,item_id\n",
        "ragged.csv": b"user_id,item_id\n1,2\n1,2,3\n",
        "short.csv": b"user_id,item_id\n1,2\n1\n",
        "latin.csv": b"user_id,item_id\n1,caf\xe9\n",
        "binary.csv": b"\x00\xff\x00\xff" * 50,
        "parquet.csv": whole,
        "hole.csv": b"user_id,item_id\n1,\n",
        "spaces.csv": b"user_id item_id\n1 2\n",
        "quote.csv": b'user_id,item_id\n1,"2\n',
        "cut.csv.gz": gzip.compress(b"user_id,item_id\n" + b"1,2\n" * 9999)[:-20],
    }
    for name, content in contents.items():
        (here / name).write_bytes(content)
        words = {
            "header.csv": "no rows",
            "hole.csv": "missing",
            "spaces.csv": "sep=",
            "quote.csv": "line 2",
        }
        wanted = re.escape(name) + ".*" + words.get(name, "")
        yield "files", name, lambda name=name: recae.read_table(here / name), wanted
    for call in (recae.read_parquet, recae.read_csv, recae.read_table):
        label = call.__name__
        yield label, "absent", lambda call=call: call(here / "no.csv"), "no.csv .*exist"
        yield label, "a number", lambda call=call: call(7), "path .*7"
        yield label, "no path", lambda call=call: call([]), "empty"
        (here / "nothing").mkdir(exist_ok=True)
        yield (
            label,
            "an empty folder",
            lambda call=call: call(here / "nothing"),
            "nothing .*no file",
        )
        glob = str(here / "no*thing.csv")
        yield label, "a glob of nothing", lambda call=call, g=glob: call(g), "no file .*thing.csv"
    sheet = here / "plays.xlsx"
    sheet.write_bytes(b"PK")
    yield "files", "unknown ending", lambda: recae.read_table(sheet), "known endings: .parquet"
    bad = "another separator"
    yield "files", bad, lambda: recae.read_csv(here / "good.csv", sep="::"), "sep=','"
    (here / "mixed").mkdir()
    frame().to_parquet(here / "mixed" / "a.parquet")
    frame(user_id=["x", "y", "z"]).to_parquet(here / "mixed" / "b.parquet")
    yield "files", "ids of two kinds", lambda: recae.read_parquet(here / "mixed"), "b.parquet.*mix"
