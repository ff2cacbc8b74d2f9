"""Examine the installation and the machine, and name a remedy for what is wrong.

It shows versions, optional extras, processor, threads, memory, disk and GPU. Then come problems and
notes. With a problem, results may be wrong, or a fit fails or takes many times as long. The exit
code is 1 with a problem, and 0 otherwise, also with notes.

examples:
  recae doctor
  recae doctor --json > machine.json
"""

from __future__ import annotations

import argparse

import recae
from recae.cli.output import Output


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae doctor`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace, output: Output) -> int:
    """Examines and prints; returns the exit code."""
    found = recae.doctor()
    output.result(str(found), found.to_dict())
    return 0 if found.healthy else 1
