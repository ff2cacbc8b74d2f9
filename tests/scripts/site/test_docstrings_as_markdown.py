"""Docstrings become Markdown that shows what they say."""

from __future__ import annotations

import pytest

pytest.importorskip("griffe")

from evaluation.site.docstrings import markdown  # noqa: E402


def test_examples_become_blocks_of_code() -> None:
    text = "One.\n\n>>> f(1)\n2\n\n>>> f(2)\n3\n\nAfter."
    assert markdown(text) == "One.\n\n```pycon\n>>> f(1)\n2\n\n>>> f(2)\n3\n```\n\nAfter."


def test_signs_of_markdown_are_escaped_outside_of_code() -> None:
    assert markdown("a_i * b < `c_j * d`") == r"a\_i \* b \< `c_j * d`"
    assert markdown("A table:\n\n    users 1 * 2\n    train o_o") == (
        "A table:\n\n    users 1 * 2\n    train o_o"
    )
