"""Trackers by name, and the commands that take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, cli

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore")  # TensorBoard's own


@pytest.fixture
def plays(tmp_path: Path) -> str:
    matrix = sp.random(120, 40, 0.2, "csr", np.float32, random_state=0)
    matrix.data[:] = 1
    recae.Interactions.from_csr(matrix).to_frame().to_parquet(tmp_path / "plays.parquet")
    return str(tmp_path / "plays.parquet")


def test_a_place_is_named_or_the_default() -> None:
    named = recae.tracking.tracker_of("tensorboard:here")
    assert isinstance(named, recae.tracking.TensorBoard) and named.folder == Path("here")
    default = recae.tracking.tracker_of("tensorboard", "there")
    assert isinstance(default, recae.tracking.TensorBoard) and default.folder == Path("there")
    with pytest.raises(ConfigError, match="tensorboard"):
        recae.tracking.tracker_of("tensorbord:runs")


@pytest.mark.parametrize("model", ["ease", "mult-dae"])
def test_fit_writes_a_run_with_its_model(plays: str, tmp_path: Path, model: str) -> None:
    runs = tmp_path / "runs"
    command = ["fit", plays, str(tmp_path / "model"), "--model", model, "-q"]
    command += ["--track", f"tensorboard:{runs}", *(["--set", "epochs=2"] * (model != "ease"))]
    assert cli.main(command) == 0
    (run,) = runs.iterdir()
    assert [*run.glob("events.*")]
    kept, saved = recae.load(run / "model"), recae.load(tmp_path / "model")
    assert kept.fingerprint() == saved.fingerprint()


def test_tune_writes_the_search_and_its_trials(plays: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = ["tune", plays, str(tmp_path / "model"), "--model", "ease", "--trials", "2", "-q"]
    assert cli.main([*command, "--track", f"tensorboard:{runs}"]) == 0
    assert len([*runs.glob("tune-*/trial-*")]) == 2


def test_an_unknown_tool_is_refused_before_anything_is_read(capsys, tmp_path: Path) -> None:
    for command in ("fit", "tune"):
        given = [command, "nowhere.parquet", str(tmp_path / "model"), "--track", "mlfow"]
        given += ["--trials", "1"] * (command == "tune")
        assert cli.main(given) == 2
        assert "mlflow" in capsys.readouterr().err
