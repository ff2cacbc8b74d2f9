"""The notebooks of docs/notebooks run in a kernel of their own, and are stored without outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
FOUND = {
    "movielens": """
import pandas
assert reports["EASE"]["ndcg@20"] > reports["Popularity"]["ndcg@20"]
assert set(pairs["better"]) == {"EASE", "MultVAE"}
assert {1196, 1210} & {*top["item_id"]} and not {*history} & {*top["item_id"]}  # later Star Wars
assert 3114 in {*similar["similar_item_id"]}  # Toy Story 2
assert again.equals(final.recommend(k=5, history=history))
assert len(pandas.read_parquet("top.parquet")) == 20 * likes.n_users
""",
    "compare": """
from pathlib import Path
assert min(tested, key=tested.get) == "Popularity"
assert len(pairs) == 6 and "Popularity" not in {*pairs["better"]}
assert 0 < detectable < max(tested.values())
assert all(name in Path("report.html").read_text(encoding="utf-8") for name in tested)
""",
    "building-blocks": """
assert vectors.shape == (likes.n_items, 32)
assert similar["similar_item_id"].isin([3114, 2355, 78499]).any()  # other films of Pixar
assert found.share > found.chance
assert new.shape == (20, 8, 8) and 0 <= new.min() and new.max() <= 1
assert caught > 0.9 and false_alarms < 0.1
""",
}
"""What must hold at the end of a notebook, of the names that its cells have given."""


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def test_all_notebooks_are_tested() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*FOUND}


@pytest.mark.parametrize("name", FOUND)
def test_notebooks_are_stored_without_outputs(name: str) -> None:
    notebook = read(name)
    pytest.importorskip("nbformat").validate(notebook)
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell["id"]
        for target in re.findall(r"\]\(([\w-]+\.ipynb)\)", "".join(cell["source"])):
            assert (FOLDER / target).is_file(), target


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND)
def test_notebooks_run(name: str, run_notebook: Callable[[Any], Path]) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("optuna")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    notebook.cells.append(nbformat.v4.new_code_cell(FOUND[name]))
    run_notebook(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    warned = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert outputs and not warned
    pictures = [output for output in outputs if "image/png" in output.get("data", ())]
    assert len(pictures) == sum(
        "Image(" in (code := "".join(cell["source"])) or "\nshow(" in code
        for cell in notebook.cells
        if cell["cell_type"] == "code"
    )
