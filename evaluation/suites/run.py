"""Runs a suite: tunes, fits and tests each of its models in its own process.

    python -m evaluation NAME DATA                      # all models, then the report
    python -m evaluation NAME DATA --models ease,als
    python -m evaluation NAME --train my-train.parquet --test my-test.parquet
    python -m evaluation NAME DATA --models ease --seconds 3600 --patience 50
    python -m evaluation NAME DATA --track mlflow       # also writes runs to MLflow

A model that already has a result for the same data and settings is not run again, unless its search
had fewer seconds. An interrupted training or search is resumed, and one with more seconds goes on
where it ended. Results are in `evaluation/results/NAME/` (see `kept.py`); fitted
models stay in `--work` until their result is written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import recae
from evaluation.kit.provenance import RESULTS
from evaluation.suites.data import (
    add_table_options,
    given_columns,
    given_tables,
    read_split,
)
from evaluation.suites.model import LIMITS, Places, is_done, run
from evaluation.suites.read import Suite, read_suite
from recae.errors import ConfigError, unknown_option
from recae.training import check_callbacks

ROOT = Path(__file__).parents[2]
OWN_RESULTS = Path("build/results")


def main(name: str, argv: Sequence[str]) -> int:
    """Runs the models without a result and prints the report."""
    suite = read_suite(name)
    parser = argparse.ArgumentParser(
        prog=f"python -m evaluation {name}",
        description=f"{suite.title}\n\n{suite.about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", nargs="?", type=Path, help="folder with the tables of the suite")
    parser.add_argument("--models", help="some of the suite's models, comma-separated")
    parser.add_argument(
        "--seconds", type=float, help="tuning time per model (default: the suite's)"
    )
    parser.add_argument(
        "--patience", type=int, help="trials in a row without a better one that end the tuning"
    )
    parser.add_argument("--seeds", type=int, help="number of fits of each random model")
    parser.add_argument(
        "--results",
        type=Path,
        help="folder of results: evaluation/results, or build/results for your own tables",
    )
    parser.add_argument("--work", type=Path, default=Path("build/suites"))
    parser.add_argument("--fit-only", action="store_true", help="fit only, do not evaluate")
    parser.add_argument("--again", action="store_true", help="run also models that have a result")
    parser.add_argument(
        "--track",
        metavar="TOOL[:PLACE]",
        help="mlflow:EXPERIMENT, tensorboard:FOLDER or wandb:PROJECT (default: the suite's name)",
    )
    parser.add_argument("--only", help=argparse.SUPPRESS)
    add_table_options(parser)
    options = parser.parse_args(argv)
    suite = _changed(suite, options)
    chosen(suite, options.models)
    tracker = None if options.track is None else recae.tracking.tracker_of(options.track, name)
    tables = given_tables(options)
    results = options.results or (OWN_RESULTS if tables else RESULTS)
    places = Places(results / name, options.work / name)
    split = read_split(suite, options.data, tables, given_columns(options))
    if options.only:
        callbacks = check_callbacks(tracker or ())
        run(suite, suite.models[options.only], split, places, options.fit_only, callbacks)
        return 0
    print(f"{suite.title}\n{split}", flush=True)
    failed = []
    for candidate in map(suite.models.__getitem__, chosen(suite, options.models)):
        if not options.again and is_done(suite, candidate, split, places):
            print(f"{candidate.name}: result exists", flush=True)
            continue
        child = [sys.executable, "-m", "evaluation", name, *argv, "--only", candidate.name]
        if subprocess.run(child, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode:
            failed.append(candidate.name)
    if failed:
        print(f"without a result: {', '.join(failed)}", file=sys.stderr)
    if not options.fit_only:
        from evaluation.suites.report import write

        print(write(suite, places.results))
    return 1 if failed else 0


def chosen(suite: Suite, names: str | None) -> list[str]:
    """The models to run. Raises ConfigError for one that the suite does not have."""
    found = list(suite.models) if names is None else names.split(",")
    for name in found:
        if name not in suite.models:
            raise unknown_option(f"model of {suite.name}", name, suite.models)
    return found


def _changed(suite: Suite, options: argparse.Namespace) -> Suite:
    """The suite with the seeds and limits of the options. It keeps all its models, because a
    single model must know whether it is a member of an ensemble."""
    for option in ("seeds", "seconds", "patience"):
        value = getattr(options, option)
        if value is not None and not value > 0:
            raise ConfigError(f"--{option} must be a number > 0, not {value:g}")
    models = dict(suite.models)
    if options.seeds:
        models = {
            name: replace(model, seeds=options.seeds if model.is_random else model.seeds)
            for name, model in models.items()
        }
    tuning = dict(suite.tuning)
    for limit in LIMITS:
        if getattr(options, limit):
            tuning[limit] = getattr(options, limit)
    return replace(suite, models=models, tuning=tuning)
