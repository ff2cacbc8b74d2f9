"""Compare models on users that they have never seen.

Strong generalisation: some users are held out with all their interactions. Models are fitted on all
other users. They then get a part of each held-out user's items (the fold-in) and rank the hidden
rest. Half of the held-out users are for validation, for models that train in epochs. The other half
is the test: the output has its means with 95 % bootstrap intervals.

example:
  recae evaluate plays.parquet --models popularity,ease,mult-vae --set ease.l2=100
  recae evaluate plays.parquet --models popularity,ease --html report.html
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import recae
from recae.cli import hyperparameters
from recae.cli.options import (
    add_output_options,
    add_run_options,
    add_table_options,
    count_or_share,
    names,
    read_interactions,
)
from recae.cli.output import Output, as_json
from recae.cli.places import add_overwrite_option, check_places
from recae.errors import ConfigError, DataError, StorageError
from recae.estimators.saved import CONFIG
from recae.metrics import parse_metrics
from recae.report.entry import check_measured, entry_places
from recae.system.files import PAGES, PICTURES, atomic_file
from recae.training import Epoch


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae evaluate`."""
    parser.add_argument("data", metavar="DATA", help="the table of interactions")
    parser.add_argument(
        "--models",
        type=lambda text: [hyperparameters.model_name(name) for name in names(text)],
        default=["popularity", "ease", "mult-vae"],
        metavar="NAMES",
        help="some of the models below, with commas (default: popularity,ease,mult-vae)",
    )
    parser.add_argument(
        "--set",
        type=hyperparameters.setting,
        action="append",
        default=[],
        metavar="MODEL.NAME=VALUE",
        help="a hyperparameter of one of the models; may be repeated; "
        "`recae fit --model MODEL --help` lists them",
    )
    parser.add_argument(
        "--metrics",
        type=names,
        default=["ndcg@100", "recall@20"],
        metavar="NAMES",
        help="metrics, with commas; the plot shows the first (default: ndcg@100,recall@20)",
    )
    parser.add_argument(
        "--held-out",
        type=count_or_share,
        default=0.1,
        metavar="USERS",
        help="users held out for validation, and as many again for the test: a share such as 0.1 "
        "or a number such as 500 (default: %(default)s)",
    )
    parser.add_argument(
        "--fold-in",
        type=float,
        default=0.8,
        metavar="SHARE",
        help="share of a held-out user's items that the models see (default: %(default)s)",
    )
    add_run_options(parser, seed=98765)
    parser.add_argument("--plot", metavar="FILE.png", help="draw the first metric of every model")
    parser.add_argument(
        "--out", metavar="FILE.json", help="write all figures and their provenance, as --json does"
    )
    parser.add_argument(
        "--html", metavar="FILE.html", help="write one page with tables and figures"
    )
    parser.add_argument(
        "--entries",
        metavar="FOLDER",
        help="keep the result of each model in a directory there, for `recae report`",
    )
    add_overwrite_option(parser, "files and results at --entries")
    add_table_options(parser, filters=True)
    add_output_options(parser)
    parser.epilog = hyperparameters.describe_models()


def run(args: argparse.Namespace, output: Output) -> None:
    """Splits, fits, measures, prints and writes."""
    models = hyperparameters.build_models(args.models, args.set)
    _check_metrics(args.metrics, len(models))
    check_places(
        args,
        files=[(args.plot, PICTURES), (args.out, (".json",)), (args.html, PAGES)],
        folders=[args.entries],
        inputs=[args.data],
    )
    folder = None if args.entries is None else _entries_folder(args, list(models))
    data = read_interactions(args.data, args, output)
    protocol = recae.StrongGeneralization(held_out=args.held_out, fold_in=args.fold_in)
    split = protocol.split(data, seed=args.seed)
    output.note(str(split))
    if split.test is None:
        raise DataError("the split has no test users: raise --held-out")
    if folder is not None:  # entries that stay must fit into one report with the new ones
        stay = [place for place in entry_places(folder) if place.name not in models]
        check_measured([*map(recae.report.Entry.load, stay)], split.test)
    settings = {"held_out": args.held_out, "fold_in": args.fold_in, "seed": args.seed}
    entries = []
    for name, model in models.items():
        started, epochs = time.perf_counter(), list[Epoch]()
        model.fit(
            split.train,
            split.validation,
            seed=args.seed,
            device=args.device,
            callbacks=(output.epoch, epochs.append)
            if any(part.uses_callbacks for part in model._trained())
            else (),
            progress=output.progress,
        )
        seconds = time.perf_counter() - started
        report = recae.evaluate(model, split.test, args.metrics, progress=output.progress)
        output.note(f"{time.perf_counter() - started:7.1f} s  {name}  {model}")
        entry = recae.report.Entry(
            name,
            [report],
            fit_seconds=[seconds],
            epochs=[asdict(epoch) for epoch in epochs],
            provenance={"command": "recae evaluate", "data": args.data, "protocol": settings},
        )
        entries.append(entry)
        if folder is not None:
            entry.save(folder / name, overwrite=args.overwrite)
    reports = {entry.name: entry.reports[0] for entry in entries}
    content = {
        "protocol": settings,
        "models": {name: report.summary() for name, report in reports.items()},
    }
    output.result(recae.report.comparison(reports).to_string(), content)
    if args.out:
        with atomic_file(args.out, overwrite=args.overwrite) as part:
            part.write_text(as_json(content) + "\n", encoding="utf-8")
    if args.plot:
        recae.report.plot_comparison(reports, args.metrics[0], args.plot, overwrite=args.overwrite)
    if args.html:
        recae.report.html(entries, args.html, metric=args.metrics[0], overwrite=args.overwrite)


def _check_metrics(metrics: list[str], models: int) -> None:
    """Raises ConfigError for a bad name, and for several models with item vectors of their own."""
    for metric in parse_metrics(metrics):
        if "vectors" in metric.needs and models > 1:
            raise ConfigError(
                f"{metric} is comparable under the same item vectors only, and here each model has "
                "its own: name one model, or use recae.evaluate with item_vectors="
            )


def _entries_folder(args: argparse.Namespace, names: list[str]) -> Path:
    """The folder of entries, created if it does not exist. Raises StorageError, before any work is
    done, if it cannot be created or if results would be replaced."""
    folder = Path(args.entries)
    if (folder / CONFIG).is_file():
        raise StorageError(f"{folder} is a saved model: name another folder to --entries")
    there = [name for name in names if (folder / name).exists()]
    if there and not args.overwrite:
        raise StorageError(
            f"{folder / there[0]} exists: pass --overwrite or name another folder to --entries"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
