"""What is in the wheel, and that it works where nothing else of the project is."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

from tests.test_readme import USERS, blocks, planted

ROOT = Path(__file__).parents[1]

INSTALLED = """
import recae
from recae.data import dataset_names
print(recae.__file__)
print(recae.__version__)
print(dataset_names())
try:
    recae.load_dataset("ml-latest-small")
except recae.DataError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = out.glob("recae-*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


def dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_only_the_package_lands_in_site_packages(wheel: zipfile.ZipFile) -> None:
    # A top-level `datasets`, `evaluation` or `tests` would shadow other people's packages.
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"recae"}
    assert len(top) == 2


def test_every_module_is_in(wheel: zipfile.ZipFile) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recae").rglob("*.py")}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == here
    assert "recae/py.typed" in wheel.namelist()
    assert {f"recae/report/page.{kind}" for kind in ("css", "js")} <= set(wheel.namelist())
    page = {p.relative_to(ROOT).as_posix() for p in (ROOT / "recae/serve/page").iterdir()}
    assert "recae/serve/page/index.html" in page and page <= set(wheel.namelist())


def test_the_dataset_cards_travel_and_tables_stay(wheel: zipfile.ZipFile) -> None:
    cards = {path.parent.name: path for path in (ROOT / "datasets").glob("*/card.toml")}
    assert "ml-latest-small" in cards
    for name, path in cards.items():  # each has a line in pyproject.toml
        assert wheel.read(f"recae/data/sets/cards/{name}.toml") == path.read_bytes()
    # MovieLens may not be redistributed commercially, and a wheel may be.
    assert not [name for name in wheel.namelist() if Path(name).suffix in (".parquet", ".csv")]


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    scripts = configparser.ConfigParser()
    scripts.read_string(dist_info(wheel, "entry_points.txt"))
    assert dict(scripts["console_scripts"]) == {"recae": "recae.cli:main"}


def test_dependencies_have_no_upper_bound(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(dist_info(wheel, "METADATA"))
    required = [line.partition(";")[0] for line in metadata.get_all("Requires-Dist")]
    assert any(line.startswith("torch") for line in required)
    assert [line for line in required if any(pin in line for pin in ("<", "==", "~="))] == []
    assert "MIT" in (metadata["License-Expression"] or "")


def test_the_wheel_works_on_its_own(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    wheel.extractall(site)
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    file, version, names, complaint = done.stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert Path(file) == site / "recae" / "__init__.py"
    assert version == project["version"]
    here = sorted(path.parent.name for path in (ROOT / "datasets").glob("*/card.toml"))
    assert names == str(here)
    assert "do not travel with the package" in complaint


@pytest.mark.slow
def test_the_readme_runs_from_the_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    wheel.extractall(site)
    elsewhere.mkdir()
    planted(range(USERS), np.random.default_rng(0)).to_parquet(elsewhere / "plays.parquet")
    found = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    python = [content for _, language, content in found if language == "python"]
    assert python
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(python)],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
