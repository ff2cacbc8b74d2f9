"""Shell completion: what bash offers after TAB."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recae
from recae import cli
from recae.data import dataset_names

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "recae", "completion", "bash"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    file = tmp_path_factory.mktemp("completion") / "recae"
    file.write_text(done.stdout)
    return file


def offered(script: Path, folder: Path, *words: str) -> list[str]:
    """What bash would offer for the last word of `recae ...`."""
    quoted = " ".join(f"'{word}'" for word in ("recae", *words))
    asked = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _shtab_recae; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [str(BASH), "--norc", "-c", asked], capture_output=True, text=True, cwd=folder
    )
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("",), sorted(cli.COMMANDS)),
        (("ex",), ["explain", "export", "export-similar"]),
        (("fit", "--with"), ["--with-history"]),
        (("fit", "--model", ""), sorted(recae.MODELS)),
        (("fit", "--duplicates", "s"), ["sum"]),
        (("tune", "--sampler", ""), ["random", "tpe"]),
        (("tune", "--model", "eas"), ["ease"]),
        (("tune", "x", "y", "--folder", "mo"), ["model"]),
        (("datasets", "ml-1"), sorted(n for n in dataset_names() if n.startswith("ml-1"))),
        (("completion", "z"), ["zsh"]),
        (("fit", "pl"), ["plays.csv"]),
        (("recommend", "mo"), ["model"]),
    ],
)
def test_bash_offers(
    script: Path, tmp_path: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    (tmp_path / "plays.csv").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "more.txt").touch()
    assert sorted(offered(script, tmp_path, *words)) == expected


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef recae"), ("tcsh", "# AUTO")])
def test_other_shells_have_a_script(
    capsys: pytest.CaptureFixture[str], shell: str, begins: str
) -> None:
    assert cli.main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(begins) and all(name in printed for name in cli.COMMANDS)


def test_without_the_library_it_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 2
    assert 'pip install "recae[completion]"' in capsys.readouterr().err
