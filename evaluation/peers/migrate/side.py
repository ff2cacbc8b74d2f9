"""Runs one side of a migration guide: the code of a peer or that of recae.

    PYTHON evaluation/peers/migrate/side.py PAGE OUT

A peer's environment has no recae, so this file imports nothing of it. The steps of a page are its
Python blocks and the rows of its tables, in their order. A block after `<!-- not run -->` is the
peer's, any other is recae's. In a row, the second cell is the peer's and the third is recae's; what
fills a cell between backticks is code, any other cell is text. The code of a side runs in one
namespace, in the working directory. `users` and `items` of a peer are the ids of its row and column
numbers, if it has such. The value of a cell's last expression is kept in plain form, as JSON.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NOT_RUN = "<!-- not run -->"
PEER, RECAE = "peer", "recae"
_STEP = re.compile(r"^```python\n(?P<block>(?:.*\n)*?)```$|^\|(?P<row>.+)\|$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
LOWEST = np.finfo(np.float32).min
"""The score of the items that `implicit` appends to short lists."""


@dataclass(frozen=True)
class Step:
    """Code of one side. `task` is the first cell of a row, "" for a block."""

    line: int
    side: str
    code: str
    task: str = ""


def steps_of(text: str) -> Iterator[Step]:
    """The steps of a page, in order."""
    for match in _STEP.finditer(text):
        before = text[: match.start()]
        line = before.count("\n") + 1
        if match["block"] is not None:
            side = PEER if before.rstrip().endswith(NOT_RUN) else RECAE
            yield Step(line + 1, side, match["block"])
            continue
        task, *cells = cells_of(match["row"])
        for side, cell in zip((PEER, RECAE), cells, strict=False):
            if code := _CODE.fullmatch(cell):
                yield Step(line, side, code[1], task)


def cells_of(row: str) -> list[str]:
    """The cells of a row of a table."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def run(text: str, side: str, name: str = "page") -> dict[str, Any]:
    """Runs the code of a side; the plain value of each task, None where there is nothing to show.

    A task on several rows has a list of values.
    """
    names: dict[str, Any] = {"__name__": "guide"}
    found: dict[str, Any] = {}
    for step in steps_of(text):
        if step.side != side:
            continue
        # Padded, so that a traceback names the line of the page.
        tree = ast.parse("\n" * (step.line - 1) + step.code, name)
        last = tree.body.pop() if step.task and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec", dont_inherit=True), names)
        if step.task:
            value = last and eval(compile(ast.Expression(last.value), name, "eval"), names)
            if step.task in found:
                raise ValueError(f"{name} has two rows {step.task!r}")
            numbered = "users" if "similar_users" in step.code else "items"
            found[step.task] = plain(value, names.get(numbered))
    return found


def plain(value: Any, ids: Any = None) -> Any:
    """A value as {"lists"}, {"number"}, {"counts"} or {"array"}; None for anything else.

    lists: for each user or item asked for, [item, score or None] from the best. Column numbers are
    replaced by these ids, if there are any.
    """
    if isinstance(value, bool | np.bool_ | str) or value is None:
        return None
    if isinstance(value, int | float | np.number):
        return {"number": float(value)}
    if hasattr(value, "to_df"):  # lists of LensKit
        value = value.to_df()
    if isinstance(value, pd.DataFrame):
        return _frame(value)
    if hasattr(value, "nnz") or (hasattr(value, "train") and hasattr(value, "test")):
        return {"counts": _counts(value)}
    if isinstance(value, tuple | list) and len(value) and isinstance(value[0], list | np.ndarray):
        return _lists(value, ids)
    if isinstance(value, tuple | list) and value and all(map(_countable, value)):
        return {"counts": [size for part in value for size in _counts(part)]}
    if isinstance(value, pd.Series):
        value = value.to_numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return {"array": value.astype(float).tolist()}
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return {"lists": [[[_id(item), None] for item in row] for row in value]}
    return None


def _countable(part: Any) -> bool:
    return hasattr(part, "nnz") or hasattr(part, "train") or isinstance(part, pd.DataFrame | int)


def _counts(value: Any) -> list[int]:
    """Interactions of the parts of a split, or of one part."""
    if isinstance(value, int):
        return [value]
    if hasattr(value, "nnz"):
        return [int(value.nnz)]
    if isinstance(value, pd.DataFrame):
        return [len(value)]
    folds = (value.validation, value.test)
    return [value.train.nnz, *(fold.target.nnz for fold in folds if fold is not None)]


def _frame(frame: pd.DataFrame) -> Any:
    """Lists of a table with a rank, the counts of any other."""
    answers = ("similar_item_id", "similar_user_id", "item_id")
    answer = next((name for name in answers if name in frame), None)
    if answer is None or "rank" not in frame:
        return {"counts": [len(frame)]}
    asked = next(
        (name for name in ("target_item_id", "user_id", "item_id") if name in frame), answer
    )
    table = pd.DataFrame({"answer": frame[answer].to_numpy()})
    table["asked"] = 0 if asked == answer else frame[asked].to_numpy()
    table["score"] = frame["score"].to_numpy() if "score" in frame else None
    return {
        "lists": [
            [[_id(item), _score(score)] for item, score in rows[["answer", "score"]].to_numpy()]
            for _, rows in table.groupby("asked", sort=False)
        ]
    }


def _lists(value: Any, known: Any) -> Any:
    """(ids, scores) in arrays of one or two dimensions, or lists of ids."""
    if len(value) == 2 and all(isinstance(part, np.ndarray) for part in value):
        ids, scores = (np.atleast_2d(part) for part in value)
        return {
            "lists": [
                [
                    [_id(item if known is None else known[item]), _score(score)]
                    for item, score in zip(row, of_row, strict=True)
                    if (isinstance(item, str) or item >= 0) and score > LOWEST
                ]
                for row, of_row in zip(ids, scores, strict=True)
            ]
        }
    return {"lists": [[[_id(item), None] for item in row] for row in value]}


def _id(item: Any) -> Any:
    """An id as a whole number where it is one: RecBole's are text."""
    text = str(item.item() if hasattr(item, "item") else item)
    return int(float(text)) if re.fullmatch(r"-?\d+(\.0)?", text) else text


def _score(score: Any) -> float | None:
    return None if score is None else float(score)


def run_peer() -> None:
    """Runs the peer's side of a page."""
    page, out = map(Path, sys.argv[1:3])
    sys.argv = sys.argv[:1]  # RecBole reads the arguments
    found = run(page.read_text(encoding="utf-8"), PEER, str(page))
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    run_peer()
