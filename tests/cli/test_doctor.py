"""`recae doctor`: its exit code, and its two forms."""

from __future__ import annotations

import json

import pytest

import recae
from recae import cli
from recae.system.checkup import Checkup, Finding


@pytest.mark.parametrize(("problem", "code"), [(True, 1), (False, 0)])
def test_the_exit_code_is_1_with_a_problem(
    problem: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = recae.doctor()
    finding = Finding("odd", problem, "Something is odd.", "Mend it.")
    monkeypatch.setattr(recae, "doctor", lambda: Checkup(real.facts, [finding]))
    assert cli.main(["doctor"]) == code
    said = capsys.readouterr().out
    assert recae.__version__ in said and finding.found in said and finding.remedy in said
    assert cli.main(["doctor", "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is not problem
    assert told["findings"] == [
        {"name": "odd", "problem": problem, "found": finding.found, "remedy": finding.remedy}
    ]
    assert told["facts"]["versions"]["torch"] == real.facts["versions"]["torch"]
