"""`import recae` leaves the process as it was, and brings what it promises."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import recae

# Each of these takes time or memory that most runs never need.
NOT_AT_IMPORT = ["implicit", "matplotlib", "sklearn", "psutil", "hypothesis", "pytest", "optuna"]
NOT_AT_IMPORT += ["constriction", "onnx", "onnxruntime"]
NOT_AT_IMPORT += ["pooch", "requests"]

# The dependencies come first: what they do to the process at import is theirs.
SCRIPT = f"""
import json, random, sys, warnings
import numpy, pandas, pyarrow.parquet, safetensors.torch, scipy.linalg, scipy.sparse, torch, tqdm

def state():
    numpy_state = numpy.random.get_state()
    return {{
        "random": hash(random.getstate()),
        "numpy": [numpy_state[0], numpy_state[1].tolist(), numpy_state[2:]],
        "torch": torch.get_rng_state().tolist(),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "dtype": str(torch.get_default_dtype()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": [str(entry) for entry in warnings.filters],
    }}

before = state()
import recae
after = state()
changed = [name for name in before if before[name] != after[name]]
imported = [name for name in {NOT_AT_IMPORT!r} if name in sys.modules]
print(json.dumps([changed, imported]))
"""


def test_import_has_no_side_effects() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()  # and nothing else was printed
    changed, imported = json.loads(line)
    assert changed == []
    assert imported == []


FIT = """
import random
import recae
data = recae.testing.planted().binarised()
before = random.getstate()
recae.NMF(latent=2, iterations=2).fit(data, progress=False)  # the first to import scikit-learn
assert random.getstate() == before
"""


def test_what_a_fit_imports_leaves_the_generator_of_python() -> None:
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_top_level_has_few_names_and_all_of_them_are_there() -> None:
    names = {name for name in recae.__all__ if not isinstance(getattr(recae, name), ModuleType)}
    assert {"MultVAE", "evaluate", "read_parquet", "load", "__version__"} <= names
    models = {model.__name__ for model in recae.MODELS.values()}
    assert len(names - models) <= 52
    assert names <= {*dir(recae)}


@pytest.mark.parametrize("name", sorted({*recae.__all__} - {"MODELS", "__version__"}))
def test_public_names_are_documented(name: str) -> None:
    value = getattr(recae, name)
    assert len(inspect.getdoc(value) or "") > 20
    if not inspect.isclass(value):
        return
    for key, member in vars(value).items():
        if inspect.isfunction(member) and not key.startswith("_"):
            # getdoc also finds the docstring of the method that this one overrides
            assert inspect.getdoc(getattr(value, key)), f"{name}.{key} has no docstring"


def test_nothing_is_imported_before_a_name_is_used() -> None:
    script = "import sys, recae; print([name for name in sys.modules if name.startswith('recae.')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["[]"], done.stderr


# What fits, searches, reads named data sets, draws and reports has no place in a service.
NOT_SERVED = ["recae.training", "recae.tuning", "recae.evaluation", "recae.report", "recae.apply"]
NOT_SERVED += ["recae.transformers", "recae.data.sets", "recae.data.splits", "recae.cli"]
SERVED_TOO = {"recae.training", "recae.training.epoch", "recae.data.splits"}
"""Packages whose names are imported when used, and the record of an epoch, which a model keeps."""
SERVED_TOO |= {"recae.data.splits.folds"}

ANSWERS = f"""
import sys, recae
for place in sys.argv[1:]:
    model = recae.load(place)
    items = model.items_.ids[:3].tolist()
    model.recommend_ids(items, rules=recae.Rules(block=items[:1]))
    model.recommend(history=dict(me=items))
    model.explain(items)
    model.similar_items(items)
names = {NOT_SERVED + NOT_AT_IMPORT!r}
print(*[m for m in sys.modules for name in names if (m + ".").startswith(name + ".")])
"""


def test_a_loaded_model_answers_without_the_code_that_fits(
    tmp_path: Path, int_data: recae.Interactions
) -> None:
    models = [recae.MODELS[name] for name in ("mult-vae", "ease", "als", "item-knn")]
    fitted = [model(**model.small).fit(int_data) for model in models]
    places = [str(model.save(tmp_path / model.name)) for model in fitted]
    done = subprocess.run([sys.executable, "-c", ANSWERS, *places], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {*done.stdout.split()} - SERVED_TOO == set()


def test_models_name_the_optimisers_that_training_has() -> None:
    fields = [model.param_fields().get("optimiser") for model in recae.MODELS.values()]
    named = {tuple(field.metadata["choices"]) for field in fields if field is not None}
    assert named == {tuple(recae.training.OPTIMISERS)}


TRAINS = """
import sys, recae
data = recae.testing.planted().binarised()
for kind in (recae.MultVAE, recae.RecVAE, recae.ELSA):
    kind(epochs=1).fit(data, device="cpu", progress=False)
print("torch._dynamo" in sys.modules)
"""


def test_a_fit_does_not_import_the_compiler_of_torch() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr
