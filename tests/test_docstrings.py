"""Every public name is documented: what it is, its errors, its shapes, and an example that runs."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import recae

NAMES = sorted({*recae.__all__} - {"MODELS", "__version__"})
METHODS = [
    f"Recommender.{name}"
    for name, value in vars(recae.Recommender).items()
    if inspect.isfunction(value) and not name.startswith("_")
]
# Functions that cannot fail, or whose one error is that of what they call.
NO_ERRORS = {"comparison", "Recommender.export", "Recommender.save", "Recommender.score"}
NO_ERRORS |= {"Recommender.recommend_array", "Recommender.embed_users"}
SHAPE = re.compile(r"\(\w+(, \w+)*,?\)")


def find(name: str) -> Any:
    value: Any = recae
    for part in name.split("."):
        value = getattr(value, part)
    return value


def everything() -> Iterator[tuple[str, Any]]:
    for name in [*NAMES, *METHODS]:
        yield name, find(name)


@pytest.mark.parametrize("name", [*NAMES, *METHODS])
def test_an_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    matrix = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    data = recae.Interactions.from_csr(scipy.sparse.csr_matrix(matrix))
    known = {"recae": recae, "np": np, "pd": pd, "scipy": scipy, "data": data}
    known |= {public: getattr(recae, public) for public in recae.__all__}
    text = inspect.getdoc(find(name)) or ""
    test = doctest.DocTestParser().get_doctest(text, known, name, None, None)
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not result.failed, "".join(said)


@pytest.mark.parametrize(
    "name", [name for name, value in everything() if inspect.isfunction(value)]
)
def test_functions_say_what_they_raise(name: str) -> None:
    text = inspect.getdoc(find(name)) or ""
    assert name in NO_ERRORS or re.search(r"[Rr]aises? |StorageError|DataError", text), name


@pytest.mark.parametrize("name", ["Recommender.score", "Recommender.recommend_array", "TopK"])
def test_arrays_have_their_shapes(name: str) -> None:
    assert SHAPE.search(inspect.getdoc(find(name)) or ""), name


@pytest.mark.parametrize("name", list(recae.MODELS))
def test_models_name_their_paper_and_their_cost(name: str) -> None:
    text = inspect.getdoc(recae.MODELS[name]) or ""
    assert re.search(r"\b(19|20)\d\d\b", text) or name in ("popularity", "random"), name
    assert re.search(r"[Cc]osts?\s", text) and "memory" in text or name == "popularity", name
