"""Every public name is documented: what it is, its errors, its shapes, and an example that runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
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
MODULES = [module.name for module in pkgutil.walk_packages(recae.__path__, "recae.")]
MODULES.remove("recae.__main__")
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


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What examples may use without saying so: recae, numpy, pandas, scipy, and small data."""
    monkeypatch.chdir(tmp_path)
    matrix = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    data = recae.Interactions.from_csr(scipy.sparse.csr_matrix(matrix))
    names: dict[str, Any] = {"recae": recae, "np": np, "pd": pd, "scipy": scipy, "data": data}
    return names | {public: getattr(recae, public) for public in recae.__all__}


@pytest.mark.parametrize("name", [*NAMES, *METHODS])
def test_there_is_an_example_and_it_runs(name: str, known: dict[str, Any]) -> None:
    text = inspect.getdoc(find(name)) or ""
    test = doctest.DocTestParser().get_doctest(text, known, name, None, None)
    assert test.examples, f"{name} has no example"
    run(test)


@pytest.mark.parametrize("name", MODULES)
def test_all_examples_of_a_module_run(name: str, known: dict[str, Any]) -> None:
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder().find(module, extraglobs=known):
        run(test)


def run(test: doctest.DocTest) -> None:
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
