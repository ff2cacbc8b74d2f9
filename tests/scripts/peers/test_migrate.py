"""The migration guides: their calls run, and their last columns say what was measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation.kit.provenance import RESULTS
from evaluation.peers.migrate import run as migrate
from evaluation.peers.migrate import side
from evaluation.peers.migrate.compare import compare

PAGE = """# A page

<!-- not run -->
```python
x = 3
```

```python
y = 4
```

| to | theirs | recae | outputs |
|---|---|---|---|
| add | `x + 1` | `y` | |
| set | `x = 5` | `y += 1` | |
| add again | `x` | `y - 2` | same: 5.0000 |
| talk | none | `y` | |
"""


def test_the_steps_of_a_page_are_found() -> None:
    steps = list(side.steps_of(PAGE))
    assert [step.code for step in steps if step.side == side.PEER] == [
        "x = 3\n",
        "x + 1",
        "x = 5",
        "x",
    ]
    assert [step.task for step in steps if step.side == side.RECAE] == [
        "",
        "add",
        "set",
        "add again",
        "talk",
    ]
    assert migrate.tasks(PAGE) == ["add", "set", "add again"]
    assert PAGE.splitlines()[steps[0].line - 1] == "x = 3"


def test_both_sides_run_and_the_page_gets_the_outcome(tmp_path: Path) -> None:
    theirs, here = (side.run(PAGE, each) for each in (side.PEER, side.RECAE))
    assert theirs["add"] == here["add"] == {"number": 4.0}
    rows = {task: compare(theirs[task], here[task]) for task in migrate.tasks(PAGE)}
    text = migrate.with_outputs(PAGE, rows)
    assert migrate.said_in(text) == {
        "add": "same: 4.0000",
        "set": "",
        "add again": "5.0000, here 3.0000",
    }
    assert text.replace("5.0000, here 3.0000", "same: 5.0000").replace("same: 4.0000 ", "") == PAGE


def lists(*some: dict[int, float | None]) -> Any:
    return {"lists": [[[item, score] for item, score in each.items()] for each in some]}


@pytest.mark.parametrize(
    ("theirs", "here", "same"),
    [
        (lists({1: 0.5, 2: 0.4}), lists({1: 0.5, 2: 0.4}), True),
        (lists({1: 0.5, 2: 0.4}), lists({2: 0.4, 1: 0.5}), False),
        (lists({1: 0.5, 2: 0.5}), lists({2: 0.5, 1: 0.5}), True),  # a tie
        (lists({1: 0.5, 3: 0.4}), lists({1: 0.5, 2: 0.4}), True),  # a tie at the end
        (lists({1: 5, 3: 4}), lists({1: 0.5, 2: 0.4}), False),
        (lists({1: None, 2: None}), lists({2: 0.5, 1: 0.5}), True),  # a tie here
        (lists({1: None, 3: None}), lists({1: 0.5, 2: 0.5}), False),
        (lists({1: 0.5}), lists({1: 0.5, 2: 0.4}), False),
        (lists({1: 0.5}), lists({1: 0.5}, {1: 0.5}), False),
        ({"number": 0.3}, {"number": 0.3 + 1e-9}, True),
        ({"number": 0.3}, {"number": 0.3001}, False),
        ({"counts": [3, 4]}, {"counts": [3, 4]}, True),
        ({"counts": [3, 4]}, {"counts": [4, 3]}, False),
        ({"array": [[1.0, 2.0]]}, {"array": [[1.0, 2.000001]]}, True),
        ({"array": [[1.0, 2.0]]}, {"array": [[1.0], [2.0]]}, False),
        ({"array": [1.0]}, {"number": 1.0}, False),
    ],
)
def test_the_same_is_told_from_the_different(theirs: Any, here: Any, same: bool) -> None:
    found = compare(theirs, here)
    assert found["same"] is same
    assert found["said"].startswith("same") is same


def test_what_lists_have_in_common_is_counted() -> None:
    found = compare(lists({1: 4, 2: 2}, {3: 1, 4: 0}), lists({1: 4, 2: 3}, {3: 1, 5: 0.5}))
    assert (found["equal"], found["shared"]) == (0.5, 0.75)
    assert math.isclose(found["scores"], 0.25)  # of item 2, beside 4


def test_what_libraries_return_becomes_plain() -> None:
    ids = pd.Index([10, 20, 30])
    pair = np.array([[2, 0, 1]], dtype=np.int32), np.array([[0.5, 0.25, -3.4028235e38]], "f4")
    assert side.plain(pair, ids) == lists({30: 0.5, 10: 0.25})
    frame = pd.DataFrame(
        {"user_id": [2, 2, 1], "item_id": [7, 8, 7], "score": [0.5, 0.25, 1], "rank": [1, 2, 1]}
    )
    assert side.plain(frame) == lists({7: 0.5, 8: 0.25}, {7: 1.0})
    assert side.plain([["7", "8"], ["x"]]) == {"lists": [[[7, None], [8, None]], [["x", None]]]}
    assert side.plain((frame, frame.head(1))) == {"counts": [3, 1]}
    assert side.plain("text") is None


def planted() -> recae.Interactions:
    """120 users of two tastes among 70 items."""
    rng = np.random.default_rng(0)
    rows = [
        (user, 30 * (user % 2) + item, 1_600_000_000 + place)
        for user in range(120)
        for place, item in enumerate(rng.permutation(40)[:12])
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    return recae.Interactions.from_frame(table)


def test_the_guide_from_implicit_runs_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(migrate.page_of("implicit").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(migrate, "plays", planted)
    code = migrate.main(["implicit", "--page", str(page), "--results", str(tmp_path)])
    assert code == 0, capsys.readouterr().out
    kept = json.loads((tmp_path / "migrate-implicit.json").read_text())
    assert sum(row["same"] is True for row in kept["calls"].values()) >= 12


@pytest.mark.parametrize("peer", migrate.PEERS)
def test_a_guide_says_what_was_measured(peer: str) -> None:
    text = migrate.page_of(peer).read_text(encoding="utf-8")
    kept = json.loads((RESULTS / f"migrate-{peer}.json").read_text(encoding="utf-8"))
    assert migrate.said_in(text) == {task: row["said"] for task, row in kept["calls"].items()}
