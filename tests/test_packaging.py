"""What is in sdist and wheel, and that the wheel works where nothing else of the project is."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

from recae.cli import COMMANDS
from tests.test_readme import USERS, blocks, commands, planted

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"

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
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    (file,) = built.glob("recae-*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


@pytest.fixture(scope="module")
def sdist(built: Path) -> set[str]:
    """The paths of the sdist, without its own folder."""
    (file,) = built.glob("recae-*.tar.gz")
    with tarfile.open(file) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


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


def test_the_sdist_has_sources_and_tests_and_neither_tables_nor_results(
    built: Path, sdist: set[str]
) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recae").rglob("*.py")}
    assert here <= sdist
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "tests/laws.py"} <= sdist
    assert not [name for name in sdist if Path(name).suffix in (".parquet", ".csv", ".npz")]
    assert not [name for name in sdist if name.startswith("evaluation/results")]
    (file,) = built.glob("recae-*.tar.gz")
    assert file.stat().st_size < 3e6


def test_pypi_accepts_both(built: Path) -> None:
    pytest.importorskip("twine")
    files = sorted(map(str, built.glob("recae-*")))
    assert len(files) == 2
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
def test_the_readme_runs_in_a_clean_environment(built: Path, tmp_path: Path) -> None:
    """pip installs the wheel and the newest versions of its dependencies, without any extra."""
    (wheel,) = built.glob("recae-*.whl")
    environment, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    elsewhere.mkdir()
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    variables = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}

    def run(*command: object) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=elsewhere,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    python = programs / "python"
    run(sys.executable, "-m", "venv", environment)
    constraint = re.search(r"^torch==.*$", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert constraint is not None
    run(python, "-m", "pip", "install", "--quiet", constraint[0])
    run(python, "-m", "pip", "install", "--quiet", wheel)
    run(python, "-m", "pip", "check")
    where = run(python, "-c", "import recae; print(recae.__file__)").strip()
    assert Path(where).is_relative_to(environment)
    planted(range(USERS), np.random.default_rng(0)).to_parquet(elsewhere / "plays.parquet")
    found = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    script = elsewhere / "script.py"
    code = [text for _, language, text in found if language == "python"]
    script.write_text("\n".join(text for text in code if "load_dataset" not in text))  # no download
    run(python, script)
    # A checker that is not in the environment finds py.typed in its site-packages.
    run(sys.executable, "-m", "mypy", "--python-executable", python, script)
    for _, language, content in found:
        for command in commands(content) if language == "console" else ():
            if command.startswith("recae "):
                run(programs / "recae", *shlex.split(command)[1:])
    assert {"top.parquet", "shell-top.parquet"} <= {path.name for path in elsewhere.iterdir()}
    run(programs / "recae", "doctor")
    for command in COMMANDS:
        assert f"recae {command}" in run(programs / "recae", command, "--help")
