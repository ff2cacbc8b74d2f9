"""The types that a user's checker sees: hyperparameters have their defaults and their types."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_readme import README, blocks

ROOT = Path(__file__).parents[1]

SNIPPET = """\
import typing
import pandas as pd
import recae
recae.MultVAE(latent=3, hidden=(5,))
recae.EASE(l2="high")
recae.ALS(factors=3)
recae.load("model").transform([[1]])
recae.load("model", recae.Recommender).recommend(k=3)
recae.load("model", recae.Autoencoder).recommend(k=3)
data = recae.read_parquet("plays.parquet")
split = recae.StrongGeneralization(held_out=0.1).split(data)
model = recae.EASE().fit(split.train, validation=split.validation)
report = recae.evaluate(model, split.test)
typing.assert_type(data, recae.Interactions)
typing.assert_type(model, recae.EASE)
typing.assert_type(model.l2, float)
typing.assert_type(model.recommend(split.test.history, k=3), pd.DataFrame)
typing.assert_type(report, recae.Report)
report["ndcg@100"].upper()
recae.evaluate(model, data)
"""
WRONG = {5: "l2", 6: "factors", 9: "recommend", 19: "upper", 20: "Interactions"}
"""Lines of the snippet that a checker must refuse, and a name that it gives."""


@pytest.fixture
def scripts(tmp_path: Path) -> list[Path]:
    """The snippet, and the Python of README.md."""
    found = blocks(README.read_text(encoding="utf-8"))
    python = [content for _, language, content in found if language == "python"]
    assert python
    (tmp_path / "snippet.py").write_text(SNIPPET, encoding="utf-8")
    (tmp_path / "readme.py").write_text("\n".join(python), encoding="utf-8")
    return [tmp_path / "snippet.py", tmp_path / "readme.py"]


def test_mypy_accepts_what_is_right_and_finds_what_is_wrong(scripts: list[Path]) -> None:
    # with the cache that `make check` has left
    command = [sys.executable, "-m", "mypy", *map(str, scripts)]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    errors = re.findall(r"(\w+)\.py:(\d+): error: (.*)", done.stdout)
    assert [(file, int(line)) for file, line, _ in errors] == [("snippet", n) for n in WRONG]
    assert all(name in text for name, (_, _, text) in zip(WRONG.values(), errors, strict=True))


def test_pyright_does_so_too(scripts: list[Path]) -> None:
    pytest.importorskip("pyright")
    if shutil.which("node") is None:
        pytest.skip("pyright needs node, which is not installed")
    config = scripts[0].with_name("pyrightconfig.json")
    config.write_text(json.dumps({"extraPaths": [str(ROOT)]}), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, *map(str, scripts)], capture_output=True, text=True, cwd=config.parent
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = {(Path(e["file"]).stem, e["range"]["start"]["line"] + 1): e["message"] for e in found}
    assert list(errors) == [("snippet", line) for line in WRONG]
    assert all(name in text for name, text in zip(WRONG.values(), errors.values(), strict=True))
