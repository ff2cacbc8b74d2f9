"""Kills ingests and exports at random moments; fills the disk, damages files, runs two at once.

    python -m evaluation scale_kill --what ingest --kills 100 [--quick]

After every kill the disk may hold a complete result or hidden, unfinished work, and nothing else;
the same call then goes on. Every result is compared with that of an undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.kit.provenance import keep
from evaluation.scale import kill_export, kill_ingest
from evaluation.scale.kill import killed
from recae.system.progress import bar

JOBS: dict[str, Any] = {"ingest": kill_ingest, "export": kill_export}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the result. Anything wrong raises an AssertionError."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", choices=[*JOBS, "all"], default="all")
    parser.add_argument("--kills", type=int, default=100, help="of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--quick", action="store_true", help="five kills, not kept")
    asked = parser.parse_args(argv)
    kills = 5 if asked.quick else asked.kills
    for name in JOBS if asked.what == "all" else [asked.what]:
        with (
            tempfile.TemporaryDirectory() as folder,
            bar(kills, f"killing {name}", "kill", None) as shown,
        ):
            found = killed(JOBS[name].JOB, Path(folder), kills, asked.seed, shown)
            result = {**found, "faults": JOBS[name].faults(Path(folder))}
        print(json.dumps(result, indent=2))
        if not asked.quick:
            print(f"kept in {keep(f'scale-kill-{name}', result)}")
    return 0
