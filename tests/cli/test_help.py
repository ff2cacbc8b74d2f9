"""The help, and how hyperparameters typed on the command line are read."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

import recae
from recae import cli
from recae.cli.hyperparameters import read_value


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_teaches(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as left:
        run(command, "--help")
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said and f"\n  recae {command} " in said
    assert "default: " in said or command in (
        "completion",
        "load-export",
        "onnx",
        "doctor",
    )  # without such options
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_summary_of_a_command_is_the_first_line_of_its_module(command: str) -> None:
    module = importlib.import_module(f"recae.cli.{cli.MODULES.get(command, command)}")
    assert cli.COMMANDS[command] == (module.__doc__ or "").splitlines()[0]


def test_only_the_command_that_is_called_is_imported() -> None:
    """Each call is in a fork of one process that has imported torch, as that takes seconds."""
    calls = [["--help"], ["datasets"], ["recommend", "--help"]]
    script = (
        "import os, sys, torch\nfrom recae import cli\n"
        f"for arguments in {calls}:\n"
        "    if os.fork():\n        os.wait()\n        continue\n"
        "    try:\n        cli.main(arguments)\n    except SystemExit:\n        pass\n"
        "    print(*sys.modules, file=sys.stderr, flush=True)\n"
        "    print(end='\\0', flush=True)\n    os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    modules = {cli.MODULES.get(name, name) for name in cli.COMMANDS}
    printed, lines = done.stdout.split("\0"), done.stderr.splitlines()
    assert len(lines) == len(calls) and all(printed[:-1]), done.stderr
    for arguments, line in zip(calls, lines, strict=True):
        loaded = {name for name in modules if f"recae.cli.{name}" in line.split()}
        assert loaded == {name for name in arguments if name in cli.COMMANDS}


@pytest.mark.parametrize("name", recae.MODELS)
def test_help_lists_the_hyperparameters(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit):
        run("fit", "--model", name, "--help")
    said = capsys.readouterr().out
    assert all(f"\n  {model} " in said for model in recae.MODELS)
    assert f"hyperparameters of {name}" in said
    listed = said.partition(f"hyperparameters of {name}")[2]
    for key, about in recae.MODELS[name].param_fields().items():
        assert f"\n  {key} " in listed
        assert about.metadata["doc"].split()[0] in listed


def test_help_names_the_values_worth_a_try(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("fit", "--model", "mult-vae", "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"\blr [^()]*\(default: 0\.001; usually 0\.0001 to 0\.01\)", said)
    assert re.search(r"\bpatience [^()]*\(default: 10\)", said)


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("1e-3", float, 0.001),
        ("3", float, 3.0),
        ("neither", str, "neither"),
        ("yes", bool, True),
        ("False", bool, False),
        ("600,200", tuple[int, ...], (600, 200)),
        ("(600, 200)", tuple[int, ...], (600, 200)),
        ("", tuple[int, ...], ()),
        ("none", float | None, None),
        ("2", int | None, 2),
        ("2.5", int, "2.5"),
        ("600,x", tuple[int, ...], (600, "x")),
    ],
)
def test_values_are_read_by_their_declared_type(text: str, hint: object, value: object) -> None:
    read = read_value(text, hint)
    assert read == value and type(read) is type(value)


def test_python_m_recae_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recae", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"recae {recae.__version__}\n")
