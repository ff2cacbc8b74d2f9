"""Every public name is documented: what it is, its errors, its shapes, and an example that runs."""

from __future__ import annotations

import ast
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
from evaluation.kit.public import offered

OFFERED = {name: value for name, (_, value) in offered().items()}
"""What users import: the names at the top, and those that the rooms offer."""
NAMES = sorted(OFFERED)
MODELS = {model.__name__ for model in recae.MODELS.values()} | {"AutoEnsemble"}
MODULES = [module.name for module in pkgutil.walk_packages(recae.__path__, "recae.")]
MODULES.remove("recae.__main__")
CANNOT_FAIL = {"Recommender.get_params", "ImageCodec.get_params"} | {
    f"{kind}Autoencoder.get_params" for kind in ("", "Sparse", "Denoising", "Variational")
}
"""They take arguments, and no value of them is a mistake."""
ARRAY = re.compile(r"ndarray|NDArray|Ids|Codes|Weights|Times|Matrix|Tensor|TopK")
SHAPE = re.compile(r"\((rows|n|nnz|n_users|n_items|len|\d)[\w +()]*(, ?[\w +]+)*,?\)")


def find(name: str) -> Any:
    """A public name, or a function that is a member of a public class."""
    owner, _, member = name.partition(".")
    found = OFFERED[owner]
    if member:
        found = inspect.getattr_static(found, member)
        found = getattr(found, "__func__", None) or getattr(found, "fget", None) or found
    return found


def members(name: str) -> Iterator[str]:
    """The methods and properties of a class, its own and those it inherits from recae. (A model
    has those of Recommender.)"""
    if inspect.isclass(find(name)) and name not in MODELS:
        for member in (f"{name}.{some}" for some in dir(find(name)) if not some.startswith("_")):
            found = find(member)
            if inspect.isfunction(found) and found.__module__.startswith("recae"):
                yield member


def is_property(name: str) -> bool:
    owner, _, member = name.partition(".")
    return isinstance(inspect.getattr_static(OFFERED[owner], member, None), property)


def takes_arguments(name: str) -> bool:
    found = find(name)
    return inspect.isroutine(found) and bool(
        {*inspect.signature(found).parameters} - {"self", "cls"}
    )


def types_of(name: str) -> str:
    """The types that a function takes and returns, or those of the fields of a class, as text."""
    annotations = vars(inspect.unwrap(find(name))).get("__annotations__", {})
    found = annotations or getattr(inspect.unwrap(find(name)), "__annotations__", {})
    return " ".join(map(str, found.values()))


def gives_a_frame(name: str) -> bool:
    """Whether a function returns a frame, or a field of a class is one."""
    found = inspect.unwrap(find(name))
    if inspect.isclass(found):
        return "DataFrame" in types_of(name) and not issubclass(found, recae.Recommender)
    return "DataFrame" in str(getattr(found, "__annotations__", {}).get("return", ""))


PUBLIC = [*NAMES, *(member for name in NAMES for member in members(name))]


FITTED = {
    "detector": "recae.apply.anomaly.AnomalyDetector(recae.Autoencoder(epochs=1), 0.1).fit(X)",
    "profiles": "recae.apply.anomaly.detect_profiles(scipy.sparse.random(40, 30, density=0.3, "
    "random_state=0).tocsr().ceil(), false_alarm_rate=1e-9)",
    "codec": "recae.apply.compress.ImageCodec(bytes_per_image=12, hidden=(16,), epochs=20)"
    ".fit(images)",
    "small": "recae.apply.compress.compress_embeddings(X, 12, epochs=1, rounds=1)",
    "tastes": "recae.apply.steer.find_tastes(recae.PureSVD(latent=2).fit(data), data, units=3, "
    "active=1, min_users=1, epochs=20, seed=1)",
    "entry": 'recae.report.Entry("ease", [recae.Report("EASE()", pd.DataFrame('
    '{"ndcg@5": [0.5, 0.7]}, index=[1, 2]))])',
    "tuning": "(lambda split: recae.tune(recae.EASE(), split.train, split.validation, 'recall@4', "
    "trials=2))(recae.data.splits.holdout_pairs(data, 0.5))",
    "vae": "recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data)",
}
"""Results that the examples of their methods go on with; the example of the class makes them."""


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What examples may use without saying so: recae, numpy, pandas, scipy, small `data`,
    numbers `X` and `images`."""
    monkeypatch.chdir(tmp_path)
    matrix = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    data = recae.Interactions.from_csr(scipy.sparse.csr_matrix(matrix))
    names: dict[str, Any] = {"recae": recae, "np": np, "pd": pd, "scipy": scipy, "data": data}
    names["X"] = np.random.default_rng(0).normal(size=(100, 6))
    names["images"] = np.random.default_rng(0).integers(0, 255, (50, 4, 4)).astype("uint8")
    return names | OFFERED


EXAMPLES: dict[str, str] = {}
"""The first public name of every docstring with an example that has to be there."""
for name in PUBLIC:
    if not is_property(name):
        EXAMPLES.setdefault(inspect.getdoc(find(name)) or "", name)


@pytest.mark.parametrize("name", [name for name in PUBLIC if not is_property(name)])
def test_there_is_an_example_and_it_runs(name: str, known: dict[str, Any]) -> None:
    text = inspect.getdoc(find(name)) or ""
    test = doctest.DocTestParser().get_doctest(text, known, name, None, None)
    assert test.examples, f"{name} has no example"
    if EXAMPLES[text] == name:  # members that classes inherit have the same example: run it once
        run(test)


@pytest.mark.parametrize("name", [*filter(is_property, PUBLIC)])
def test_properties_say_what_they_are(name: str) -> None:
    assert inspect.getdoc(find(name)), name


@pytest.mark.parametrize("name", MODULES)
def test_all_other_examples_of_a_module_run(name: str, known: dict[str, Any]) -> None:
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder().find(module, extraglobs=known):
        if inspect.cleandoc(test.docstring or "") not in EXAMPLES:
            run(test)


def run(test: doctest.DocTest) -> None:
    source = "".join(example.source for example in test.examples)
    for name, made in FITTED.items():
        if re.search(rf"\b{name}\b", source) and f"{name} =" not in source:
            test.globs[name] = eval(made, test.globs)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not result.failed, "".join(said)


@pytest.mark.parametrize("name", [*filter(takes_arguments, PUBLIC)])
def test_what_takes_arguments_says_what_it_raises(name: str) -> None:
    raises = re.search(r"\b[Rr]aises\b", inspect.getdoc(find(name)) or "")
    assert (raises is None) == (name in CANNOT_FAIL), name


@pytest.mark.parametrize("name", [name for name in PUBLIC if ARRAY.search(types_of(name))])
def test_arrays_have_their_shapes(name: str) -> None:
    assert SHAPE.search(inspect.getdoc(find(name)) or ""), name


@pytest.mark.parametrize("name", [name for name in PUBLIC if gives_a_frame(name)])
def test_frames_have_their_columns(name: str) -> None:
    text = inspect.getdoc(find(name)) or ""
    assert re.search(r"[Cc]olumns?|frame `", text), name


def test_the_checks_find_what_is_public() -> None:
    assert {"Interactions.n_users", "Interactions.from_csr", "Recommender.set_params"} <= {*PUBLIC}
    assert {"Interactions.n_users", "Recommender.item_embeddings_"} <= {
        *filter(is_property, PUBLIC)
    }
    assert {"evaluate", "IdMap.encode", "Recommender.fit"} <= {*filter(takes_arguments, PUBLIC)}
    shaped = {name for name in PUBLIC if ARRAY.search(types_of(name))}
    assert {"TopK", "IdMap.encode", "Recommender.score", "Interactions"} <= shaped


@pytest.mark.parametrize("name", list(recae.MODELS))
def test_models_name_their_paper_and_their_cost(name: str) -> None:
    text = inspect.getdoc(recae.MODELS[name]) or ""
    assert re.search(r"\b(19|20)\d\d\b", text) or name in ("popularity", "random"), name
    assert re.search(r"[Cc]osts?\s", text) and "memory" in text or name == "popularity", name


LONG = 10
"""Lines up to which a function may do without a docstring."""


def undocumented(source: str) -> list[str]:
    """The functions of more than LONG lines without a docstring, as line and name.

    A constructor is documented by its class, and an overload by what it overloads.
    """

    def inside(parent: ast.AST, cls: ast.ClassDef | None) -> Iterator[str]:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                made = node.name in ("__init__", "__post_init__") and cls and ast.get_docstring(cls)
                names = {ast.unparse(decorator) for decorator in node.decorator_list}
                if length > LONG and not (ast.get_docstring(node) or made or "overload" in names):
                    yield f"{node.lineno} {node.name}"
                yield from inside(node, None)
            else:
                yield from inside(node, node if isinstance(node, ast.ClassDef) else cls)

    return [*inside(ast.parse(source), None)]


@pytest.mark.parametrize("name", MODULES)
def test_long_functions_have_a_docstring(name: str) -> None:
    path = Path(importlib.import_module(name).__file__ or "")
    assert undocumented(path.read_text(encoding="utf-8")) == []


def test_what_is_a_long_function_without_a_docstring() -> None:
    body = "\n".join(["    x = 1"] * LONG)
    nested = "\n".join(["class A:", "  def b(self):", *(["    x = 1"] * LONG)])
    made = 'class A:\n  "What."\n  def __init__(self):\n' + body
    assert undocumented(f"def f():\n{body}\n") == ["1 f"]
    assert undocumented(f"async def f():\n    'It.'\n{body}\n") == []
    assert undocumented(f"def f():\n{body[: body.rindex(chr(10))]}\n") == []
    assert undocumented(nested) == ["2 b"] and undocumented(made) == []
    assert undocumented(made.replace('  "What."\n', "")) == ["2 __init__"]
    assert undocumented(f"@overload\ndef f():\n{body}\n") == []
    assert undocumented(f"if x:\n  def f():\n{body}\n") == ["2 f"]
