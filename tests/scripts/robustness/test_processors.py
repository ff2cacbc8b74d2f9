"""The command that runs the tests under the kernels of other processors."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.robustness import processors
from evaluation.robustness.processors import AVX2, AVX512, Outcome

TESTS = """
import os
def test_setting(): assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"
def test_threads(): assert os.environ["OMP_NUM_THREADS"] == "2"
"""


def test_flags_are_read(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu fma avx2\nbugs\t\t: none\n")
    assert processors.flags(tmp_path / "cpuinfo") == {"fpu", "fma", "avx2"}
    assert processors.flags(tmp_path / "nothing") == set()
    assert processors.flags() >= AVX2 or not processors.flags() & {"avx2"}


def test_what_passes_and_fails_under_a_setting_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Plugins that are slow to import, and that these tests have no use for.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:schemathesis -p no:hypothesispytest -p no:anyio")
    (tmp_path / "test_it.py").write_text(TESTS)
    found = processors.outcome({"OPENBLAS_CORETYPE": "Haswell"}, [str(tmp_path)], jobs=1)
    assert found.passed == 1 and found.seconds > 0
    assert len(found.failed) == 1 and found.failed[0].endswith("test_it::test_threads")


def test_settings_that_the_processor_cannot_run_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def outcome(setting: dict[str, str], tests: list[str], jobs: int) -> Outcome:
        asked.append(setting)
        return Outcome(5, ("a::b",) if "Zen" in setting.values() else (), 1.0)

    monkeypatch.setattr(processors, "outcome", outcome)
    monkeypatch.setattr(processors, "flags", lambda: set(AVX2))
    assert processors.main(["--only", "OPENBLAS"]) == 1
    assert asked == [{"OPENBLAS_CORETYPE": "Haswell"}, {"OPENBLAS_CORETYPE": "Zen"}]
    out = " ".join(capsys.readouterr().out.split())
    assert "OPENBLAS_CORETYPE=SkylakeX left out" in out and "avx512bw" in out
    assert "OPENBLAS_CORETYPE=Zen 5 passed, 1 failed, 1 s a::b" in out
    monkeypatch.setattr(processors, "flags", lambda: set(AVX2 | AVX512))
    assert processors.main(["tests/nn", "--only", "ATEN"]) == 0
    assert len(asked) == 5


def test_few_runs_cover_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "flags", lambda: {"sse4_1", "sse4_2", *AVX2, *AVX512})
    found = processors.runs(None)
    assert len(found) == 3
    wanted = {(name, value) for name, values in processors.SETTINGS.items() for value in values}
    assert {pair for run in found for pair in run.items()} == wanted
