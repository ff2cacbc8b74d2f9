"""Seconds and memory of an epoch of Mult-VAE, compared with RecBole, RecPack and Cornac.

    python -m evaluation.speed epoch DATA --rounds 5

DATA holds train.parquet (user, item), or ratings.parquet (user, item, rating), of which ratings of
3 and more and the 10-core are taken. Every side has layers of 600, 200 and 600, batches of 500
users and Adam, all in float32 unless its name says otherwise, and gets the same matrix:

- recae: `MultVAE.fit`, exact softmax; an epoch is what `fit` itself measures.
- recae-bfloat16: the same, with the products of the last layer in bfloat16.
- recbole: MultiVAE, an epoch by `Trainer._train_epoch`; data and loader are RecBole's.
- recpack: MultVAE, an epoch by its own `_train_epoch`.
- cornac: VAECF with the multinomial likelihood, an epoch by its own `learn`. It does not normalise
  or drop input and does not shuffle the users: less work than the others do.

Epochs alternate; the first of each side is not counted (`--warm`). Memory is the peak of a process
above the peak after its imports, which are all modules that the side names; what a library imports
while it works counts as its memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.sparse as sp
import torch

import recae
from evaluation.kit import venvs, worker
from evaluation.kit.harness import alternate, arguments
from evaluation.kit.provenance import keep
from evaluation.speed import given
from evaluation.speed.stepwise import Stepwise

ALL = (("DATA/gowalla",), ("DATA/ml-1m",))
PEERS = Path(__file__).parent / "peers"
OURS: dict[str, dict[str, Any]] = {
    "recae": {"precision": "float32"},
    "recae-bfloat16": {"precision": "bfloat16"},
}
"""The sides of recae: the settings of each besides the sizes."""
THEIRS = ("recbole", "recpack", "cornac")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the cost of an epoch on every side."""
    parser = arguments(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sides", nargs="+", choices=[*OURS, *THEIRS], default=[*OURS, *THEIRS])
    parser.add_argument("--hidden", type=int, default=600)
    parser.add_argument("--latent", type=int, default=200)
    parser.add_argument("--batch", type=int, default=500, help="users a batch")
    parser.add_argument("--users", type=int, help="number of users, for a dry run")
    parser.add_argument(
        "--warm", type=int, default=1, help="first epochs of each side that are not counted"
    )
    venvs.add_arguments(parser, THEIRS)
    parser.add_argument("--serve", choices=OURS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options)
        return 0
    pythons = {side: venvs.python_of(side, options) for side in options.sides if side in THEIRS}
    data = given.read(options.data, options.users)
    print(data, flush=True)
    sizes = [f"--{n}={getattr(options, n)}" for n in ("hidden", "latent", "batch", "threads")]
    with tempfile.TemporaryDirectory() as name:
        sp.save_npz(Path(name) / "train.npz", data.matrix)
        given.write_atomic(Path(name), "train", data.matrix)
        ours = [sys.executable, "-m", "evaluation.speed.epoch", name, *sizes, "--serve"]
        sides = {side: [*ours, side] for side in options.sides if side in OURS}
        for side, python in pythons.items():
            sides[side] = [python, str(PEERS / f"{side}_epoch.py"), name, *sizes]
        rounds = alternate(sides, options.rounds, options.warm, threads=options.threads)
    print(rounds.summary())
    first, *others = sides
    for side in others:
        share = rounds.above_bare_gb(first) / rounds.above_bare_gb(side)
        print(f"memory above imports, {first} / {side}: {share:.2f}")
    result = {"suite": "epoch of Mult-VAE", "data": repr(data), "threads": options.threads}
    result |= {n: getattr(options, n) for n in ("hidden", "latent", "batch")}
    result |= rounds.as_dict()
    if options.users is None:
        print(f"kept in {keep(f'speed-epoch-{options.data.name}', result)}")
    else:
        print(json.dumps(result["ratios"]))
    return 0


def serve(options: argparse.Namespace) -> None:
    """A side of recae: an epoch of `fit` per request."""
    _ = recae.Interactions, recae.MultVAE, recae.training.train  # imported when first used
    bare = worker.peak_gb()
    torch.set_num_threads(options.threads)
    data = recae.Interactions.from_csr(sp.load_npz(options.data / "train.npz"))
    model = recae.MultVAE(
        hidden=(options.hidden,),
        latent=options.latent,
        mirror=True,
        batch_size=options.batch,
        epochs=100_000,
        softmax="full",
        **OURS[options.serve],
    )
    training = Stepwise(lambda wait: model.fit(data, callbacks=wait, progress=False))

    def run() -> dict[str, float]:
        epoch = training.epoch()
        return {"seconds": epoch.seconds, "loss": epoch.loss}

    worker.serve(run, bare)


if __name__ == "__main__":
    raise SystemExit(main())
