"""Seconds an epoch and peak memory of Mult-VAE, beside a dense-input network of the same shape.

    python -m evaluation epoch_speed DATA --rounds 3

DATA holds a train.parquet with the columns user and item. The reference is the published way in
plain torch: dense rows in, dropout on them, log_softmax over dense targets, the default Adam; same
layers, same batch size. Epochs alternate between the two in one run; the medians and their ratio
are printed, and each side's peak memory is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import recae
from evaluation.provenance import keep, peak_gb
from recae.rng import torch_generator
from recae.training import SparseLoader
from recae.training.objective import LinearAnneal, Objective

HIDDEN, LATENT, BATCH, LR = 600, 200, 500, 1e-3


def ours(matrix: Any) -> Callable[[int], None]:
    """One epoch of recae's Mult-VAE, through the same loader, network and objective as `fit`."""
    net = recae.MultVAE(latent=LATENT, hidden=(HIDDEN,), mirror=True)._network(*matrix.shape[::-1])
    net.initialise(torch_generator(0))
    optimiser = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
    loader = SparseLoader(matrix, None, BATCH, seed=0)
    objective = Objective("multinomial", {"kl": LinearAnneal(0.2, 1e-4)})

    def epoch(number: int) -> None:
        net.train()
        noise = torch_generator(0, number)
        for step, batch in enumerate(loader.epoch(number)):
            scores, terms = net(batch, noise)
            loss = objective(scores, terms, batch, step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    return epoch


class DenseMultVAE(nn.Module):
    """The published network on dense rows."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_items, HIDDEN)
        self.code = nn.Linear(HIDDEN, 2 * LATENT)
        self.back, self.last = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, n_items)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits, mean and log variance."""
        hidden = torch.tanh(self.first(F.dropout(F.normalize(x), 0.5)))
        mu, log_variance = self.code(hidden).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_variance)
        return self.last(torch.tanh(self.back(z))), mu, log_variance


def dense(matrix: Any) -> Callable[[int], None]:
    """One epoch of the dense reference."""
    net = DenseMultVAE(matrix.shape[1])
    optimiser = torch.optim.Adam(net.parameters(), lr=LR)

    def epoch(number: int) -> None:
        order = np.random.default_rng(number).permutation(matrix.shape[0])
        for start in range(0, len(order), BATCH):
            x = torch.from_numpy(matrix[order[start : start + BATCH]].toarray())
            logits, mu, log_variance = net(x)
            kl = -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(1).mean()
            loss = -(F.log_softmax(logits, dim=1) * x).sum(1).mean() + 0.1 * kl
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return epoch


SIDES = {"recae": ours, "dense": dense}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints seconds an epoch and peak memory of both sides, and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="timed epochs of each side")
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    train = recae.read_parquet(options.data / "train.parquet", user="user", item="item")
    if options.memory_of:
        before = peak_gb()
        SIDES[options.memory_of](train.matrix)(0)
        print(f"{peak_gb() - before:.3f} {peak_gb():.3f}")
        return 0
    epochs = {name: side(train.matrix) for name, side in SIDES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for number in range(options.rounds):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            epoch(number)
            seconds[name].append(round(time.perf_counter() - started, 2))
            print(f"round {number + 1}  {name:<6} {seconds[name][-1]:.1f} s", flush=True)
    memory = {name: memory_of(name, options.data) for name in SIDES}
    for name in SIDES:
        median = statistics.median(seconds[name])
        print(
            f"{name:<6} median {median:.1f} s an epoch; peak {memory[name][1]:.2f} GB, of which "
            f"{memory[name][0]:.2f} GB for training"
        )
    ratio = statistics.median(
        d / o for d, o in zip(seconds["dense"], seconds["recae"], strict=True)
    )
    print(f"dense / recae, paired median: {ratio:.2f}")
    result = {
        "suite": f"epoch of Mult-VAE {HIDDEN}-{LATENT}-{HIDDEN}, batch {BATCH}",
        "data": repr(train),
        "seconds": seconds,
        "ratio": round(ratio, 3),
        "peak_gb": {name: gb[1] for name, gb in memory.items()},
    }
    print(f"kept in {keep('epoch-speed', result)}")
    return 0


def memory_of(side: str, data: Path) -> tuple[float, float]:
    """Peak memory in GB of one epoch of a side, in a fresh process: added by it, and in all."""
    command = [sys.executable, "-m", "evaluation.epoch_speed", str(data), "--memory-of", side]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    added, total = done.stdout.split()
    return float(added), float(total)


if __name__ == "__main__":
    raise SystemExit(main())
