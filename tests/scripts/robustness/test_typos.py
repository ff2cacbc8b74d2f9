"""The table of typos: twenty of each kind, and each has the right answer."""

from __future__ import annotations

from evaluation.robustness.typos import answers, right


def test_every_typo_is_answered() -> None:
    found = answers()
    assert {kind: len(rows) for kind, rows in found.items()} == dict.fromkeys(found, 20)
    assert len(found) == 6
    missed = [row for rows in found.values() for row in rows if not right(*row[1:])]
    assert missed == []


def test_what_is_right() -> None:
    assert right("fit", "unknown command 'fti'. Did you mean 'fit'? Known: evaluate, fit")
    assert not right("fit", "unknown command 'fti'. Known: evaluate, fit")
