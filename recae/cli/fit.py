"""Fit a model on a table of interactions and save it.

The table has a row for each interaction: a user, an item, and optionally a weight and a time. For a
model that trains in epochs, a share of each user's items is held out for validation and the best
epoch is kept. All other models are fitted on all interactions. The result is a directory that
`recae recommend` and `recae export` read, and recae.load() in Python.

example:
  recae fit plays.parquet model --model mult-vae --set latent=100 --set hidden=300
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import recae
from recae import training
from recae.cli import hyperparameters
from recae.cli.options import read_interactions
from recae.cli.output import Output
from recae.cli.parser import Parser
from recae.cli.places import check_model_place, check_places
from recae.errors import TrainingInterrupted, check_number
from recae.training.checkpoint import check_place


def add_options(parser: Parser) -> None:
    """Declares the arguments of `recae fit`."""
    hyperparameters.add_options(parser)
    parser.add_argument(
        "--held-out",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each user's items kept for validation by models that train in epochs; 0 "
        "keeps none and trains for all epochs (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="keep the state of the training there after its epochs: the same command goes on from "
        "it after a kill; deleted once the model is saved",
    )


def run(args: argparse.Namespace, output: Output) -> None:
    """Reads, fits and saves; under torchrun, with all its processes."""
    with recae.distributed() as ranks:
        fit(args, output, saves=not ranks.rank)


def fit(args: argparse.Namespace, output: Output, saves: bool) -> None:
    """Reads, fits and saves. saves: whether this process has the model, if there are several."""
    model = hyperparameters.build_model(args.model, args.set)
    check_number("--held-out", args.held_out, low=0, below=1)
    trackers = [] if args.track is None else [recae.tracking.tracker_of(args.track, model=True)]
    check_places(args, folders=[args.out, args.checkpoint], inputs=[args.data], replaced=args.out)
    check_model_place(args.out, args.overwrite)
    if args.checkpoint:
        check_place(Path(args.checkpoint))
    if not model.uses_processes:
        training.check_alone(f"the fit of {args.model}")
    data = read_interactions(args.data, args, output)
    train, validation = data, None
    if not model.uses_validation:
        output.note(f"{args.model} has no epochs to choose from: it is fitted on everything")
    elif not args.held_out:
        output.note(
            f"{args.model} is fitted on everything and trains for all its epochs (held-out 0)"
        )
    else:
        split = recae.data.splits.holdout_pairs(data, share=args.held_out, seed=args.seed)
        train, validation = split.train, split.validation
        metric = model.get_params().get("metric")
        does = f"keeps the epoch with the best {metric}" if metric else "learns its weights"
        output.note(f"{args.model} {does} on {args.held_out:.0%} of each user's items, held out")
    reported = any(part.uses_callbacks for part in model._trained())
    started = time.perf_counter()
    interruption = None
    try:
        model.fit(
            train,
            validation,
            seed=args.seed,
            device=args.device,
            callbacks=[*([output.epoch] if reported else []), *trackers],
            progress=output.progress,
            checkpoint=args.checkpoint,
        )
    except TrainingInterrupted as error:
        interruption = error
    seconds = time.perf_counter() - started
    # What was held out to choose an epoch has been seen by its user all the same.
    model.history_ = data
    model.save(args.out, with_history=args.with_history, overwrite=args.overwrite)
    fitted = {
        "path": args.out,
        "model": args.model,
        "hyperparameters": model.get_params(),
        "seed": args.seed,
        "users": data.n_users,
        "items": data.n_items,
        "interactions": data.nnz,
        "epochs": [asdict(epoch) for epoch in getattr(model, "epochs_", [])],
        "interrupted": interruption is not None,
        "seconds": seconds,
    }
    output.done(f"fitted {model} in {seconds:.1f} s and saved it to {args.out}", fitted)
    if interruption is not None:
        raise interruption
    if args.checkpoint and saves:
        members = range(len(model.get_params().get("members", ())))
        for file in (args.checkpoint, *(f"{args.checkpoint}.{number}" for number in members)):
            Path(file).unlink(missing_ok=True)
