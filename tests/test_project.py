"""The files of the project that nothing else runs: workflows, citation, recipe and templates.

GitHub Actions and conda cannot run in a test. Workflows are checked against their schema, by zizmor
(permissions, pinned actions, injection) and by actionlint where it is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
)
CHECKED = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": FORMS,
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path: Path) -> dict[str, Any]:
    return read(path)["jobs"]


def schema_check(schema: str, files: list[Path]) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True)


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("zizmor", path=str(Path(sys.executable).parent)) or shutil.which("zizmor")
    if found is None:
        pytest.skip("zizmor is not installed (it comes with the extra dev)")
    return subprocess.run([found, "--offline", str(folder)], capture_output=True, text=True)


@pytest.mark.parametrize("schema", CHECKED)
def test_files_keep_to_their_schema(schema: str) -> None:
    assert CHECKED[schema]
    done = schema_check(schema, CHECKED[schema])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mistake_in_a_workflow_is_found(tmp_path: Path) -> None:
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    (tmp_path / "wrong.yml").write_text(text.replace("runs-on:", "run-on:"), encoding="utf-8")
    assert schema_check("github-workflows", [tmp_path / "wrong.yml"]).returncode != 0


def test_workflows_are_safe() -> None:
    done = zizmor(GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("safe", "unsafe"),
    [
        (r"@[0-9a-f]{40} # v", "@v"),  # a tag can be moved to other code
        (r"\$\{GITHUB_REF_NAME#v\}", "${{ github.head_ref }}"),  # a name that runs as a command
    ],
)
def test_an_unsafe_workflow_is_found(safe: str, unsafe: str, tmp_path: Path) -> None:
    text = (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")
    wrong, changed = re.subn(safe, unsafe, text)
    assert changed
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "release.yml").write_text(wrong, encoding="utf-8")
    assert zizmor(tmp_path / ".github").returncode != 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pass_actionlint(path: Path) -> None:
    if shutil.which("actionlint") is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run(["actionlint", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_have_few_rights_a_time_limit_and_commands_that_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert read(path)["permissions"] == {}  # each job asks for what it needs
    for name, job in jobs(path).items():
        assert job["timeout-minutes"] <= 90
        writes = {right for right, value in job["permissions"].items() if value == "write"}
        assert writes <= {"pages", "id-token"} and (not writes or name in ("deploy", "publish"))
        for step in job["steps"]:
            assert "secrets." not in str(step)
            for target in re.findall(r"^make (\w+)$", step.get("run", ""), re.MULTILINE):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_tests_run_on_three_systems_and_every_python_of_the_classifiers() -> None:
    matrix = jobs(GITHUB / "workflows" / "tests.yml")["tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    pythons = {
        line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)
    }
    assert pythons and pythons <= set(matrix["python"])
    assert PROJECT["requires-python"] == f">={min(matrix['python'], key=lambda v: int(v[2:]))}"


def test_the_version_is_the_same_everywhere() -> None:
    recipe = read(ROOT / ".conda" / "recipe.yaml")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert read(ROOT / "CITATION.cff")["version"] == PROJECT["version"]
    assert recipe["context"]["version"] == PROJECT["version"] == newest[1]


def test_the_recipe_asks_for_the_same_packages_and_pythons() -> None:
    recipe = read(ROOT / ".conda" / "recipe.yaml")
    names = {"torch": "pytorch"}
    asked = {re.match(r"[\w.-]+", line)[0]: line for line in PROJECT["dependencies"]}  # type: ignore[index]
    expected = {names.get(name, name): line[len(name) :] for name, line in asked.items()}
    first, *rest = recipe["requirements"]["run"]
    assert dict(line.split() for line in rest) == expected
    assert first == "python >=${{ python_min }}"
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    entries = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == entries
