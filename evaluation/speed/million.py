"""One million items and five million users: time, memory, and recovery of planted tastes.

    python -m evaluation.speed million
    python -m evaluation.speed million --users 20000 --items 5000 --epochs 2     # a dry run

Mult-VAE with a sampled softmax is trained on synthetic histories (`evaluation/kit/synthetic.py`),
in which every user likes one to three groups of items. The script prints the seconds of every
epoch, the peak memory of the process so far (GB, 10^9 bytes), and the share of the top 10, without
seen items, that lies in the groups of the user. It does so for training users and for new users, of
whom only the history is known. Baselines: the most popular items, and random items.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

import recae
from evaluation.kit.harness import arguments
from evaluation.kit.provenance import keep, peak_gb
from evaluation.kit.synthetic import Catalogue, People, by_chance, in_taste
from recae.rng import numpy_generator

TOP = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Generates the data, trains, recommends, and prints."""
    options = parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {"suite": "a million items", "options": vars(options)}
    result["steps"] = steps = Steps()

    with steps.step("histories made"):
        catalogue = Catalogue.plant(options.items, options.seed)
        people = catalogue.people(options.users, options.mean, options.seed)
        strangers = catalogue.people(options.asked, options.mean, options.seed + 1)
    rows = numpy_generator(options.seed).permutation(options.users)[: options.asked]
    known = people.part(np.sort(rows))
    with steps.step("Interactions"):
        data = recae.Interactions.from_csr(people.matrix)
    del people
    print(data, flush=True)
    result |= {"data": repr(data), "groups": len(catalogue.sizes)}

    floor = recae.Popularity().fit(data)
    asked = {"training users": known, "strangers": strangers}
    result["taste"] = {
        who: {
            "chance": by_chance(catalogue, some.groups),
            "popularity": taste(floor, catalogue, some),
        }
        for who, some in asked.items()
    }
    model = model_for(options)
    print(model, flush=True)
    epochs: list[dict[str, float]] = []
    started = time.perf_counter()

    def after(epoch: recae.training.Epoch) -> bool:
        memory = round(peak_gb(), 3)
        epochs.append({"loss": epoch.loss, "seconds": epoch.seconds, "peak_gb": memory})
        print(
            f"  epoch {epoch.number}: {epoch.seconds:.1f} s, loss {epoch.loss:.3f}, "
            f"peak {memory:.2f} GB",
            flush=True,
        )
        spent = time.perf_counter() - started
        return options.seconds is not None and spent + epoch.seconds > options.seconds

    with steps.step("fit"):
        model.fit(data, seed=options.seed, callbacks=after, progress=None)
    result |= {"model": repr(model), "epochs": epochs}
    for who, some in asked.items():
        with steps.step(f"top {TOP} of {len(some.groups):,} {who}"):
            found = result["taste"][who]
            found["model"] = taste(model, catalogue, some)
        print(
            f"{who}: {found['model']:.1%} of the top {TOP} is in their groups; of the most popular "
            f"items {found['popularity']:.1%}, of items at random {found['chance']:.2%}"
        )
    median = statistics.median(epoch["seconds"] for epoch in epochs)
    result |= {"epoch_seconds": median, "peak_gb": peak_gb()}
    print(f"an epoch: {median:.1f} s (median of {len(epochs)}); peak memory {peak_gb():.2f} GB")
    if options.items >= 1_000_000:
        print(f"kept in {keep('speed-million', result)}")
    return 0


class Steps(list[dict[str, Any]]):
    """A finished step: seconds, and peak memory so far."""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Times the block."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.append({"step": what, "seconds": round(seconds, 2), "peak_gb": round(peak_gb(), 3)})
        print(f"{what}: {seconds:.1f} s, peak {peak_gb():.2f} GB", flush=True)


def taste(model: Any, catalogue: Catalogue, people: People) -> float:
    """The share of the model's top 10 of these users that lies in their groups."""
    top = model.recommend_array(people.matrix, k=TOP)
    return in_taste(catalogue, people.groups, top.items)


def model_for(options: argparse.Namespace) -> Any:
    """The model with these options."""
    shared = {
        "latent": options.width,
        "batch_size": options.batch_size,
        "lr": options.lr,
        "epochs": options.epochs,
        "softmax": options.output,
        "num_sampled": options.samples,
    }
    if options.model == "mult-dae":
        return recae.MultDAE(**shared)
    return recae.MultVAE(hidden=(options.width,), beta=options.beta, **shared)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = arguments(__doc__, rounds=1)
    made.add_argument("--users", type=int, default=5_000_000)
    made.add_argument("--items", type=int, default=1_000_000)
    made.add_argument("--mean", type=float, default=11.0, help="interactions of a user")
    made.add_argument("--model", choices=("mult-vae", "mult-dae"), default="mult-vae")
    made.add_argument("--output", choices=("sampled", "full", "auto"), default="sampled")
    made.add_argument("--samples", type=int, default=2000, help="items drawn for an update")
    made.add_argument("--width", type=int, default=64, help="of the code and the hidden layer")
    made.add_argument("--batch-size", type=int, default=1000, help="users an update")
    made.add_argument("--lr", type=float, default=1e-3)
    made.add_argument("--beta", type=float, default=0.2, help="weight of the KL term")
    made.add_argument("--epochs", type=int, default=3)
    made.add_argument(
        "--seconds", type=float, help="starts no epoch that would end after this many seconds"
    )
    made.add_argument("--asked", type=int, default=2000, help="users of each kind to recommend to")
    made.add_argument("--seed", type=int, default=0)
    return made


if __name__ == "__main__":
    raise SystemExit(main())
