"""The memory of a running process."""

from __future__ import annotations

from pathlib import Path


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process in MB: all, its share of what is shared, its own, and what is no
    file (`heap`): a fork does not change its sum, nor does a system that drops pages of files."""
    found: dict[str, float] = {"rss": 0, "pss": 0, "own": 0, "heap": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        kind = {"Rss": "rss", "Pss": "pss", "Private_Clean": "own", "Private_Dirty": "own"}
        kind["Anonymous"] = "heap"
        if name in kind:
            found[kind[name]] += int(rest.split()[0]) / 1024
    return {name: round(value, 1) for name, value in found.items()}
