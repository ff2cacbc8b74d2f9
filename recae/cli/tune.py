"""Search the settings of a model, then fit it with the best and save it.

A share of each user's items is held out. Settings are fitted on the rest and measured on the
held-out items, until the time or the number of trials is used up. The first trial has the given
settings. The best setting is fitted again on all interactions, for its best number of epochs. The
command needs the library Optuna: pip install "recae[tune]"

examples:
  recae tune plays.parquet model --model ease --seconds 60 --plot trials.png
  recae tune plays.parquet model --model ease --trials 20 --space l2=10..2000
"""

from __future__ import annotations

import argparse
import typing
from typing import Any

import recae
from recae.cli import hyperparameters
from recae.cli.options import read_interactions
from recae.cli.output import Output
from recae.cli.parser import Parser
from recae.cli.places import check_model_place, check_places
from recae.errors import ConfigError, check_number
from recae.metrics import parse_metric
from recae.recommend.requests import check_metric
from recae.system.files import PICTURES, atomic_file
from recae.tuning import SAMPLERS, check_budget, check_optuna, read_space


def add_options(parser: Parser) -> None:
    """Declares the arguments of `recae tune`."""
    hyperparameters.add_options(parser)
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="time to search: no trial begins after it; this, --trials or both are needed",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="settings to try, at most")
    parser.add_argument(
        "--metric",
        default="ndcg@100",
        metavar="METRIC",
        help="metric to maximise on the held-out items (default: %(default)s)",
    )
    parser.add_argument(
        "--space",
        type=hyperparameters.setting,
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="search this hyperparameter, between two values as l2=100..2000 or among some as "
        "latent=100,148 (tuples as hidden=600|600,200); may be repeated; without it all those that "
        "are usually worth a try",
    )
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        default="tpe",
        help="tpe learns from past trials, random does not (default: %(default)s)",
    )
    parser.add_argument(
        "--no-halving",
        action="store_true",
        help="never end a training because it is far behind after some epochs",
    )
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each user's items to measure on (default: %(default)s)",
    )
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="keep the trials there as they end: the same command goes on from them after a kill",
    )
    parser.add_argument("--plot", metavar="FILE.png", help="draw the trials")
    parser.add_argument("--trials-out", metavar="FILE.csv", help="write a table of the trials")


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads, searches, fits with the best setting and saves."""
    template = hyperparameters.build_model(args.model, args.set)
    space = read_texts(template, args.space) if args.space else None
    check_number("--held-out", args.held_out, above=0, below=1)
    _check(args, template, space)
    tracker: Any = ()
    if args.track is not None:
        tracker = recae.tracking.tracker_of(args.track, metrics=[args.metric], model=True)
    data = read_interactions(args.data, args, output)
    split = recae.data.splits.holdout_pairs(data, share=args.held_out, seed=args.seed)
    assert split.validation is not None
    output.note(f"{args.model} is measured on {args.held_out:.0%} of each user's items, held out")
    tuning = recae.tune(
        template,
        split.train,
        split.validation,
        args.metric,
        seconds=args.seconds,
        trials=args.trials,
        space=space,
        sampler=args.sampler,
        halving=not args.no_halving,
        seed=args.seed,
        device=args.device,
        progress=output.progress,
        folder=args.folder,
        callbacks=tracker,
    )
    output.detail(tuning.trials.to_string(index=False))
    # The result of the search is written before the last fit, which may fail.
    if args.trials_out:
        with atomic_file(args.trials_out, overwrite=args.overwrite) as part:
            tuning.trials.to_csv(part, index=False)
    if args.plot:
        tuning.plot(args.plot, overwrite=args.overwrite)
    output.note(f"the best of {len(tuning.trials)} trials is fitted again, on everything")
    model = tuning.refit(data, seed=args.seed, device=args.device, progress=output.progress)
    model.save(args.out, with_history=args.with_history, overwrite=args.overwrite)
    first = tuning.trials["value"].iloc[0]
    trials = tuning.trials.astype(object).where(tuning.trials.notna(), None)
    output.done(
        f"tuned {model}: {args.metric} {tuning.value:.4f} on validation, {first:.4f} with the "
        f"settings given, {len(trials)} trials in {tuning.seconds:.1f} s; saved to {args.out}",
        {
            "path": args.out,
            "model": args.model,
            "hyperparameters": model.get_params(),
            "metric": args.metric,
            "value": tuning.value,
            "params": tuning.params,
            "seed": args.seed,
            "users": data.n_users,
            "items": data.n_items,
            "interactions": data.nnz,
            "seconds": tuning.seconds,
            "trials": trials.to_dict(orient="records"),
        },
    )


def read_texts(template: recae.Recommender, texts: list[tuple[str, str]]) -> dict[str, Any]:
    """The search space from texts such as 1..5 and 1,2, for `recae.tune(space=)`."""
    hints = typing.get_type_hints(type(template))
    space: dict[str, Any] = {}
    for name, text in texts:
        if name in space:
            raise ConfigError(f"--space {name}={text}: {name} is given twice")
        # An unknown or unreadable value stays text: `recae.tune` rejects it with its own message.
        hint = hints.get(name, str)
        many = typing.get_origin(hint) is tuple
        if ".." in text:
            kind = typing.get_args(hint)[0] if many else hint
            bounds = text.split("..")
            space[name] = tuple(hyperparameters.read_value(bound, kind) for bound in bounds)
        else:
            parts = text.split("|") if many or "|" in text else text.split(",")
            space[name] = [hyperparameters.read_value(part.strip(), hint) for part in parts]
    return space


def _check(args: argparse.Namespace, template: recae.Recommender, space: Any) -> None:
    """Raises the errors of `recae.tune` and `save` for bad options before anything is read."""
    if args.seconds is None and args.trials is None:
        raise ConfigError("the search needs a budget: --seconds 60, --trials 20, or both")
    check_budget(args.seconds, args.trials)
    args.metric = str(parse_metric(args.metric))
    check_metric(args.metric)
    read_space(template, space, weighted=True)  # whether the data are is not known yet
    check_optuna()
    check_places(
        args,
        files=[(args.plot, PICTURES), (args.trials_out, (".csv",))],
        folders=[args.out, args.folder],
        inputs=[args.data],
        replaced=args.out,
    )
    check_model_place(args.out, args.overwrite)
