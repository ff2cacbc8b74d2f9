"""Signs of life: lines in logs, bars in terminals and notebooks, silence on request."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

import recae
from recae.system import progress
from recae.system.progress import Lines, bar, in_notebook, say


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_ten_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with bar(1000, "exporting", "user", None, initial=200) as shown:
        for second in range(1, 41):
            clock[0] = 100.0 + second
            shown.update(20)
    lines = capsys.readouterr().err.splitlines()
    # Lines at 5, 15, 25 and 35 seconds, and one at the end; 20 users a second, so (1000 - n) / 20 s
    # are left, of which 300 users at 5 s make 35.
    assert [line.partition(" of ")[0].split()[-1] for line in lines] == [
        "300",
        "500",
        "700",
        "900",
        "1,000",
    ]
    assert "00:35" in lines[0] and "30%" in lines[0] and "left" not in lines[-1]
    assert all("20 users/s" in line for line in lines)


def test_short_work_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with bar(10, "fitting", "epoch", None) as shown:
        clock[0] += 4
        shown.update(10)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("total", "unit"), [(None, "row"), (10**9, "B"), (60, "s"), (9, "batch")])
def test_units(
    clock: list[float], capsys: pytest.CaptureFixture[str], total: int | None, unit: str
) -> None:
    with bar(total, "working", unit, None) as shown:
        clock[0] += 6
        shown.set_postfix({"loss": "0.5"})
        shown.update(3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("working: 3") and line.endswith("loss 0.5")


def test_the_last_line_is_written_once(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with bar(4, "solving", "block", None) as shown:
        clock[0] += 12
        shown.update(4)
    (line,) = capsys.readouterr().err.splitlines()
    assert "100%" in line


def test_facts_of_short_work_leave_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(8, "tuning", "trial", True) as shown:
        shown.update()
        shown.set_postfix({"best": 0.5})
    assert capsys.readouterr().err == ""


def test_facts_alone_draw_the_last_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.05)
    with bar(8, "tuning", "trial", True) as shown:
        shown.update()
        time.sleep(0.06)
        shown.set_postfix({"best": 0.5})
    err = capsys.readouterr().err
    assert "1/1" in err.split("\r")[-1] and err.endswith("\n")


def test_work_that_ends_early_has_ended(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bar(10, "fitting", "epoch", None) as shown:
        clock[0] += 12
        shown.update(3)
        shown.update(1)
    first, last = capsys.readouterr().err.splitlines()
    assert "30%" in first and "100%" in last
    monkeypatch.setattr(progress, "DELAY", 0)
    with bar(10, "fitting", "epoch", True) as shown:
        shown.update(4)
    assert "100%" in (ended := capsys.readouterr().err.split("\r")[-1]) and "4/4" in ended
    with pytest.raises(KeyboardInterrupt), bar(10, "fitting", "epoch", True) as shown:
        shown.update(4)
        raise KeyboardInterrupt
    assert "4/10" in capsys.readouterr().err.split("\r")[-1]


def test_false_is_silence(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with bar(10, "fitting", "epoch", False) as shown:
        clock[0] += 100
        shown.update(10)
        shown.set_postfix({"loss": "0.5"})
    say("resumed", False)
    assert capsys.readouterr().err == ""
    say("resumed")
    assert capsys.readouterr().err == "resumed\n"


@pytest.mark.parametrize("shell", [None, SimpleNamespace(), SimpleNamespace(kernel=1)])
def test_a_notebook_has_a_bar(monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    notebook = getattr(shell, "kernel", None) is not None
    assert in_notebook() == notebook
    with bar(1, "fitting", "epoch", None) as shown:
        assert isinstance(shown, Lines) != notebook


@pytest.mark.parametrize("model", [recae.ALS(latent=2, epochs=3), recae.CDAE(latent=2, epochs=3)])
def test_a_resumed_fit_says_so(
    model: recae.Recommender, int_data, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.fit(int_data, checkpoint=tmp_path / "run")
    assert "resumed" not in capsys.readouterr().err
    model.fit(int_data, checkpoint=tmp_path / "run")
    (line,) = capsys.readouterr().err.splitlines()
    assert "resumed" in line and "3 of 3" in line and str(tmp_path / "run") in line
    model.fit(int_data, checkpoint=tmp_path / "run", progress=False)
    assert capsys.readouterr().err == ""


def test_a_resumed_search_says_so(int_data, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    split = recae.data.splits.holdout_pairs(int_data, 0.3)
    search = (recae.EASE(), split.train, split.validation, "ndcg@5")
    recae.tune(*search, trials=2, folder=tmp_path / "search")
    assert "resumed" not in capsys.readouterr().err
    recae.tune(*search, trials=2, folder=tmp_path / "search")
    (line,) = capsys.readouterr().err.splitlines()
    assert "resumed after trial 2" in line and str(tmp_path / "search") in line
