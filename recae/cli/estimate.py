"""Estimate time, memory and disk of a model on a table, before it is fitted.

The table has a row for each interaction, as for `recae fit`. Small samples of it are fitted, ranked
and exported, and what they take is extrapolated to all of it, on this machine. That takes some five
seconds for most models. A model that trains in epochs is assumed to need all of them; early
stopping ends before.

examples:
  recae estimate plays.parquet --model ease
  recae estimate plays.parquet --model mult-vae --set latent=100 -k 100 --json
"""

from __future__ import annotations

import argparse

import recae
from recae.cli import hyperparameters
from recae.cli.options import add_output_options, add_table_options, read_interactions
from recae.cli.output import Output
from recae.cli.parser import Parser
from recae.errors import check_number


def add_options(parser: Parser) -> None:
    """Declares the arguments of `recae estimate`."""
    hyperparameters.add_model_options(parser)
    parser.add_argument(
        "-k", type=int, default=100, help="items for each user, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each user's items that `recae fit` keeps for validation, which takes time "
        "after each epoch; 0 keeps none (default: %(default)s)",
    )
    add_table_options(parser, filters=True)
    add_output_options(parser)
    hyperparameters.add_help(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads, estimates and prints."""
    model = hyperparameters.build_model(args.model, args.set)
    check_number("--held-out", args.held_out, low=0, below=1)
    data = read_interactions(args.data, args, output)
    train, validation = data, None
    if model.uses_validation and args.held_out:
        split = recae.data.splits.holdout_pairs(data, share=args.held_out, seed=0)
        train, validation = split.train, split.validation
    found = model.estimate(train, validation, k=args.k, progress=output.progress)
    output.result(str(found), {"model": args.model, **found.to_dict()})
