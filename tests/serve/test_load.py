"""The commands that measure the service, in their quick form."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason="the extra serve is not installed")

from evaluation.serve import (  # noqa: E402
    serve_fuzz,
    serve_loading,
    serve_memory,
    serve_reloads,
    serve_speed,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.skipif(
        "RECAE_LOAD" not in os.environ, reason="needs an idle machine: RECAE_LOAD=1"
    ),
]


def test_every_answer_during_reloads_is_that_of_one_model() -> None:
    assert serve_reloads.main(["--quick"]) == 0


def test_models_are_opened_with_and_without_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve_loading.main(["--quick"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in said] == ["EASE", "PureSVD", "ALS", "Mult-VAE"]
    assert all("unverified" in line for line in said)


def test_no_body_and_no_use_of_the_schema_is_a_fault() -> None:
    assert serve_fuzz.main(["--quick"]) == 0
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    assert serve_fuzz.main(["--quick", "--schemathesis"]) == 0


def test_a_minute_of_load_has_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    serve_memory.main(["--seconds", "60"])  # too short to say whether memory is flat
    assert '"faults": 0' in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_no_request_fails_under_load() -> None:
    assert serve_speed.main(["--quick"]) == 0
