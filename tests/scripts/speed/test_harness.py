"""The frame of the benchmarks: sides in turn, ratios by hand, and environments that fail."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from pathlib import Path

import pytest

import evaluation.speed.__main__ as speed
from evaluation.kit import harness, venvs, worker
from recae.errors import ConfigError, RecaeError

SIDE = """
import sys
sys.path.append({folder!r})
import worker
print("a library says hello")
bare = worker.peak_gb()
count = 0
def run():
    global count
    count += 1
    print("noise of a round")
    with open({log!r}, "a") as log:
        log.write({name!r})
    if count == {dies_at}:
        sys.exit("no space left on the moon")
    return {{"seconds": {seconds} * count, "loss": 0.5}}
worker.serve(run, bare)
"""


def side(tmp_path: Path, name: str, seconds: float, dies_at: int = 0) -> list[str]:
    folder, log = str(Path(worker.__file__).parent), str(tmp_path / "log")
    path = tmp_path / f"{name}.py"
    path.write_text(
        SIDE.format(folder=folder, log=log, name=name, seconds=seconds, dies_at=dies_at)
    )
    return [sys.executable, "-S", str(path)]


def test_the_sides_take_turns(tmp_path, capsys) -> None:
    sides = {"a": side(tmp_path, "a", 1.0), "b": side(tmp_path, "b", 2.5)}
    found = harness.alternate(sides, rounds=3, warm=1, threads=1, pause=0)
    # a warm round of each, then forth, back and forth
    assert (tmp_path / "log").read_text() == "ba" + "ab" + "ba" + "ab"
    assert found.seconds("a") == [2, 3, 4] and found.seconds("b") == [5, 7.5, 10]
    assert found.ratios("b", "a") == {"median": 2.5, "lowest": 2.5, "highest": 2.5}
    assert 0 <= found.above_bare_gb("a") < found.memory["a"]["peak_gb"] < 1
    assert "b / a: 2.50 times " in found.summary()
    kept = json.loads(json.dumps(found.as_dict()))
    assert kept["sides"]["b"]["median_seconds"] == 7.5
    assert kept["sides"]["a"]["rounds"][0] == {"seconds": 2.0, "loss": 0.5}
    assert kept["ratios"] == {"b / a": {"median": 2.5, "lowest": 2.5, "highest": 2.5}}
    assert "round 3  b: 10.00 s" in capsys.readouterr().out


def test_ratios_are_of_pairs() -> None:
    answers = {"a": [1.0, 2.0, 4.0], "b": [3.0, 2.0, 8.0]}
    rounds = harness.Rounds({k: [{"seconds": s} for s in v] for k, v in answers.items()})
    assert rounds.ratios("b", "a") == {"median": 2, "lowest": 1, "highest": 3}


def test_a_side_that_dies_says_why(tmp_path) -> None:
    sides = {"a": side(tmp_path, "a", 1.0), "b": side(tmp_path, "b", 1.0, dies_at=2)}
    with pytest.raises(RecaeError, match=r"(?s)^b .*code 1: .*no space"):
        harness.alternate(sides, rounds=2, warm=1, pause=0)
    with pytest.raises(RecaeError, match="nothing .*stderr"):
        harness.alternate({"a": [sys.executable, "-c", ""]}, rounds=1)
    with pytest.raises(ConfigError, match="^a .*started: .*no-such-python"):
        harness.alternate({"a": ["no-such-python"]}, rounds=1)
    with pytest.raises(ConfigError, match="1 sides?, 0 rounds"):
        harness.alternate({"a": ["x"]}, rounds=0)


def test_a_worker_times_its_rounds_and_ends_with_its_input() -> None:
    answers = io.StringIO()
    worker.serve(lambda: None, None, io.StringIO("run\nrun\n"), answers)
    ready, *rounds, end = map(json.loads, answers.getvalue().splitlines())
    assert ready == {"ready": True} and len(rounds) == 2
    assert all(0 <= found["seconds"] < 1 for found in rounds)
    assert end["peak_gb"] == end["bare_gb"] > 0


def test_threads_go_to_the_side() -> None:
    assert harness.environment(3)["OMP_NUM_THREADS"] == "3"
    options = harness.arguments("doc", rounds=7).parse_args(["--threads", "2"])
    assert (options.rounds, options.threads) == (7, 2)


def test_the_list_and_the_runs_of_all(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "fast.py").write_text(
        '"""How fast.\n\nMore."""\nALL = (("DATA/gowalla",), ("DATA/ml-1m", "--x"))\n'
        "def main(argv): ...\n"
    )
    (tmp_path / "plain.py").write_text('"""How plain."""\ndef main(argv): ...\n')
    (tmp_path / "helper.py").write_text('"""No benchmark."""\n')
    monkeypatch.setattr(speed, "FOLDER", tmp_path)
    assert speed.main([]) == 0
    out = capsys.readouterr().out
    assert "fast   How fast." in out and "plain" in out and "helper" not in out
    assert speed.main(["plainn"]) == 2
    assert "mean plain?" in capsys.readouterr().err
    assert speed.main(["all"]) == 2
    assert re.search("DATA .*gowalla/", capsys.readouterr().err)
    ran = []
    monkeypatch.setattr(speed, "run", lambda module, some: ran.append((module, some)) or 1)
    assert speed.main(["all", str(tmp_path)]) == 1
    gowalla, ml1m = f"{tmp_path}/gowalla", f"{tmp_path}/ml-1m"
    assert ran == [("fast", [gowalla]), ("fast", [ml1m, "--x"]), ("plain", [])]
    assert "failed: fast" in capsys.readouterr().err


def test_the_real_list() -> None:
    known = speed.benchmarks()
    assert all(line.endswith(".") for line in known.values())
    for name in known:
        assert all(isinstance(run, tuple) for run in speed.runs_of(speed.FOLDER / f"{name}.py"))


def options_of(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    venvs.add_arguments(parser, ["recbole"])
    return parser.parse_args(argv)


def test_environments_are_made_once_and_failures_leave_nothing(
    tmp_path, monkeypatch, capsys
) -> None:
    commands = []

    def pip(peer: str, command: list[str]) -> None:
        commands.append(command[1:])
        if command[1:3] == ["-m", "venv"]:
            Path(command[3]).mkdir(parents=True)
        if "unlucky==1" in command:
            raise RecaeError("no")

    monkeypatch.setattr(venvs, "_run", pip)
    monkeypatch.setitem(venvs.PEERS, "lucky", venvs.Peer(("lucky==1",), dependencies=False))
    monkeypatch.setitem(venvs.PEERS, "unlucky", venvs.Peer(("unlucky==1",), torch=False))
    options = options_of("--venvs", str(tmp_path))
    python = venvs.python_of("lucky", options)
    assert Path(python).parent.parent == tmp_path / "lucky"
    assert [command[-1] for command in commands] == [
        str(tmp_path / "lucky"),
        venvs.TORCH,
        "lucky==1",
    ]
    assert "--no-deps" in commands[2] and "--no-deps" not in commands[1]
    assert "installing torch" in capsys.readouterr().err
    assert venvs.python_of("lucky", options) == python and len(commands) == 3
    (tmp_path / "lucky" / venvs.MARK).write_text("lucky==0")
    venvs.python_of("lucky", options)
    assert len(commands) == 6  # other pins: made again
    with pytest.raises(RecaeError):
        venvs.python_of("unlucky", options)
    assert not (tmp_path / "unlucky").exists()


def test_an_interpreter_that_is_there_is_taken(tmp_path) -> None:
    assert venvs.python_of("recbole", options_of("--recbole-python", "x/python")) == "x/python"
    with pytest.raises(ConfigError, match="peer 'recbool'.* mean 'recbole'"):
        venvs.python_of("recbool", options_of())


def test_a_failed_install_shows_the_end_of_what_pip_said() -> None:
    with pytest.raises(RecaeError, match=r"(?s)--x-python .*went wrong"):
        venvs._run("x", [sys.executable, "-c", "import sys; sys.exit('went wrong')"])


def test_sides_may_stand_beside_another_one_or_none() -> None:
    answers = {name: [{"seconds": s}] for name, s in {"a": 2.0, "few": 1.0, "b": 3.0}.items()}
    memory = {name: {"peak_gb": 1.0, "bare_gb": 0.5} for name in answers}
    rounds = harness.Rounds(answers, memory, {"few": "few", "b": "few"})
    assert rounds.pairs() == [("b", "few")]
    assert rounds.as_dict()["ratios"]["b / few"]["median"] == 3
