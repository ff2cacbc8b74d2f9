"""`recae estimate`: its text, its JSON, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import cli


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("estimate") / "plays.parquet"
    matrix = sp.random(500, 200, 0.05, "csr", np.float32, random_state=0)
    matrix.data[:] = 1
    recae.Interactions.from_csr(matrix).to_frame().to_parquet(path)
    return str(path)


@pytest.mark.parametrize("settings", [["ease"], ["mult-dae", "--set", "epochs=3"]])
def test_it_tells_every_step(plays, settings, capsys) -> None:
    assert cli.main(["estimate", plays, "--model", *settings, "-k", "5", "-q"]) == 0
    said = capsys.readouterr().out
    assert all(f"{step}" in said for step in ("fit", "evaluate", "export"))
    assert cli.main(["estimate", plays, "--model", *settings, "-k", "5", "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == settings[0]
    assert told["epochs"] == (3 if len(settings) > 1 else None)
    for step in ("fit", "evaluate", "export"):
        assert told[step]["seconds"] > 0 and told[step]["memory"] > 1e7
    assert told["fit"]["disk"] > 0 and told["export"]["disk"] > 0


def test_bad_options_are_refused(plays, capsys) -> None:
    assert cli.main(["estimate", plays, "--model", "ease", "--set", "l2=-1"]) == 2
    assert "l2" in capsys.readouterr().err
    assert cli.main(["estimate", plays, "--held-out", "1.5"]) == 2
    assert "held-out" in capsys.readouterr().err
    assert cli.main(["estimate", "nowhere.parquet"]) == 3
