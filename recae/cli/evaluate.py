"""Compare models on users that they have never seen.

Strong generalisation: some users are held out whole. Models are fitted on all others, then see a
part of each held-out user's items (the fold-in) and must rank the rest of them on top. Half of the
held-out users serve as validation, for models that train in epochs; the figures, with their 95 %
bootstrap intervals, are of the other half.

example:
  recae evaluate plays.parquet --models popularity,ease,mult-vae --set ease.l2=100
"""

from __future__ import annotations

import argparse
import time

import recae
from recae.cli import hyperparameters
from recae.cli.options import (
    add_filter_options,
    add_output_options,
    add_run_options,
    add_table_options,
    check_writable,
    count_or_share,
    names,
    read_interactions,
)
from recae.cli.output import Output, as_json
from recae.errors import DataError
from recae.files import atomic_file
from recae.metrics import parse_metrics


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
        help="what to measure, with commas; the plot shows the first (default: ndcg@100,recall@20)",
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
    add_table_options(parser)
    add_filter_options(parser)
    add_output_options(parser)
    parser.epilog = hyperparameters.describe_models()


def run(args: argparse.Namespace, output: Output) -> None:
    """Splits, fits, measures, prints and writes."""
    parse_metrics(args.metrics)
    models = hyperparameters.build_models(args.models, args.set)
    check_writable(args.plot, args.out)
    data = read_interactions(args.data, args, output)
    protocol = recae.StrongGeneralization(held_out=args.held_out, fold_in=args.fold_in)
    split = protocol.split(data, seed=args.seed)
    output.note(str(split))
    if split.test is None:
        raise DataError("the split has no test users: raise --held-out")
    reports = {}
    for name, model in models.items():
        started = time.perf_counter()
        model.fit(
            split.train,
            split.validation,
            seed=args.seed,
            device=args.device,
            callbacks=output.epoch,
            progress=output.progress,
        )
        reports[name] = recae.evaluate(model, split.test, args.metrics, progress=output.progress)
        output.note(f"{time.perf_counter() - started:7.1f} s  {name}  {model}")
    content = {
        "protocol": {"held_out": args.held_out, "fold_in": args.fold_in, "seed": args.seed},
        "models": {name: report.summary() for name, report in reports.items()},
    }
    output.result(recae.comparison(reports).to_string(), content)
    if args.out:
        with atomic_file(args.out) as part:
            part.write_text(as_json(content) + "\n", encoding="utf-8")
    if args.plot:
        recae.plot_comparison(reports, args.metrics[0], args.plot)
