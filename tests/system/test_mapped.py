"""Pages that are given back are read again, and nothing that was written is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recae.system.mapped import release


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssFile")) / 1024


def test_pages_are_given_back_and_read_again(tmp_path: Path) -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("needs the process table of Linux")
    content = np.arange(8_000_000)  # 64 MB
    content.tofile(tmp_path / "numbers")
    found = np.memmap(tmp_path / "numbers", np.int64, "r")
    part = np.asarray(found[10:-10])[5:]  # a view of a view
    assert part.sum() == content[15:-10].sum()
    before = resident_mb()
    release(part, content)
    assert before - resident_mb() > 50
    assert (part == content[15:-10]).all()


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_was_written_stays(tmp_path: Path, mode: str) -> None:
    np.zeros(10_000).tofile(tmp_path / "numbers")
    found = np.memmap(tmp_path / "numbers", np.float64, mode)  # type: ignore[call-overload]
    found[:] = 7
    release(found, found[5:])
    assert (found == 7).all()
