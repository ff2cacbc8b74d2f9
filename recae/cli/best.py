"""Find a good model: tune a few, test each once, and save the best.

The data are split. A few models, from the most popular items to Mult-VAE, are tuned on validation
data within the time, and each is measured once on test data. A blend of them takes part if it is
clearly better on validation. The one that is best on validation is fitted again on all data and
saved to OUT. Without OUT nothing is written. The command needs the library Optuna:
pip install "recae[tune]"

examples:
  recae best plays.parquet model --seconds 300
  recae best plays.parquet --models popularity,ease,als --metric ndcg@10
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

import recae
from recae.cli import hyperparameters
from recae.cli.options import (
    add_output_options,
    add_run_options,
    add_table_options,
    names,
    read_interactions,
)
from recae.cli.output import Output
from recae.cli.places import add_overwrite_option, check_model_place, check_places
from recae.cli.requests import add_title_options, read_titles
from recae.data import ItemTable
from recae.errors import check_number
from recae.metrics import parse_metric
from recae.recommend.requests import check_metric
from recae.tuning import check_optuna
from recae.tuning.candidates import USUAL

SHOWN, LISTED = 3, 5
"""Users whose lists are shown with --titles, and items of each."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae best`."""
    parser.add_argument("data", metavar="DATA", help="the table of interactions")
    parser.add_argument(
        "out", metavar="OUT", nargs="?", help="the directory to save the model to; may be left out"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=300.0,
        metavar="S",
        help="time for all searches, tests and the last fit (default: %(default)g)",
    )
    parser.add_argument(
        "--metric",
        default="ndcg@20",
        metavar="METRIC",
        help="metric to choose and compare by (default: %(default)s)",
    )
    parser.add_argument(
        "--models",
        type=lambda text: [hyperparameters.model_name(name) for name in names(text)],
        default=list(USUAL),
        metavar="NAMES",
        help=f"some of the models below, with commas (default: {','.join(USUAL)})",
    )
    add_title_options(parser, "a table with the titles of items: shows the lists of some users")
    add_run_options(parser, seed=0)
    parser.add_argument(
        "--with-history",
        action="store_true",
        help="save the interactions too, to recommend for these users by their ids",
    )
    add_overwrite_option(parser, "a model at OUT")
    add_table_options(parser, filters=True)
    add_output_options(parser)
    parser.epilog = hyperparameters.describe_models()


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads, searches, tests, prints and saves."""
    check_number("seconds", args.seconds, above=0)
    args.metric = str(parse_metric(args.metric))
    check_metric(args.metric)
    check_optuna()
    if args.out:
        check_places(args, folders=[args.out], inputs=[args.data, args.titles])
        check_model_place(args.out, args.overwrite)
    titles = read_titles(args)
    data = read_interactions(args.data, args, output)
    best = recae.find_best(
        data,
        seconds=args.seconds,
        metric=args.metric,
        models=args.models,
        seed=args.seed,
        device=args.device,
        progress=output.progress,
        on_step=output.note,
    )
    saved = None
    if args.out:
        best.model.save(args.out, with_history=args.with_history, overwrite=args.overwrite)
        saved = f"fitted on everything, it is saved to {args.out}"
    lists = None if titles is None else _lists(best.model, data, titles, args.title_column)
    figures = best.table.drop(columns=["settings", "note"])  # a note is a sentence, below the table
    text = [figures.to_string(index=False, na_rep="", float_format="%.4f"), ""]
    notes = zip(best.table["model"], best.table["note"].fillna(""), strict=True)
    text += [*(f"{model}: {note}" for model, note in notes if note), "", best.verdict]
    text += ["", f"the best setting, found in {best.seconds:.0f} s: {best.model}"]
    if lists is not None:
        text += ["", lists.to_string(index=False, float_format="%.4f")]
    text += ["", saved] if saved else []
    table = best.table.astype(object).where(best.table.notna(), None)
    output.result(
        "\n".join(text),
        {
            "path": args.out,
            "model": best.name,
            "hyperparameters": best.model.get_params(),
            "metric": best.metric,
            "protocol": repr(best.protocol),
            "seconds": best.seconds,
            "seed": args.seed,
            "models": table.to_dict("records"),
            "verdict": best.verdict.splitlines(),
        },
    )


def _lists(
    model: recae.Recommender, data: recae.Interactions, titles: ItemTable, column: str
) -> pd.DataFrame:
    """The best items of a few users spread over the table, with their titles."""
    codes = np.unique(np.linspace(0, data.n_users - 1, SHOWN).astype(int))
    frame = model.recommend(k=LISTED, history=data.select_users(codes), on_unknown="skip")
    frame[column] = titles.texts(frame["item_id"], column, missing="")
    return frame[["user_id", "rank", "item_id", column, "score"]]
