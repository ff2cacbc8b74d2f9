"""The sides that train a Mult-VAE on a GPU for `python -m evaluation.speed gpu`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional as F

import recae
from evaluation.kit import worker
from evaluation.speed.gpu_chip import wait
from evaluation.speed.stepwise import Stepwise

HIDDEN, LATENT, BATCH, LR = 600, 200, 500, 1e-3


def serve_recae(
    matrix: Any, device: torch.device, precision: str = "float32"
) -> Callable[[], dict[str, Any]]:
    """An epoch of `fit`, with the exact softmax like the other sides."""
    data = recae.Interactions.from_csr(matrix)
    model = recae.MultVAE(
        hidden=(HIDDEN,),
        latent=LATENT,
        mirror=True,
        batch_size=BATCH,
        epochs=10**6,
        softmax="full",
        precision=precision,
    )
    training = Stepwise(lambda wait: model.fit(data, callbacks=wait, progress=False, device=device))

    def run() -> dict[str, Any]:
        epoch = training.epoch()
        return {"seconds": epoch.seconds, "loss": epoch.loss}

    return run


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


def serve_dense(matrix: Any, device: torch.device) -> Callable[[], dict[str, Any]]:
    """An epoch as published: dense rows from the host, their log-softmax, Adam."""
    net = DenseMultVAE(matrix.shape[1]).to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=LR)
    numbers = np.random.default_rng(0)

    def run() -> dict[str, Any]:
        order, losses = numbers.permutation(matrix.shape[0]), []
        for start in range(0, len(order), BATCH):
            x = torch.from_numpy(matrix[order[start : start + BATCH]].toarray()).to(device)
            logits, mu, log_variance = net(x)
            kl = -0.5 * (1 + log_variance - mu.square() - log_variance.exp()).sum(1).mean()
            loss = -(torch.log_softmax(logits, dim=1) * x).sum(1).mean() + 0.1 * kl
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        wait(device)
        return {"loss": float(torch.stack(losses).mean())}

    return run


SERVED: dict[str, Callable[[Any, torch.device], Callable[[], dict[str, Any]]]] = {
    "recae": serve_recae,
    "recae-bfloat16": partial(serve_recae, precision="bfloat16"),
    "dense": serve_dense,
}
"""In float32 unless the name says otherwise."""


def serve(options: argparse.Namespace) -> None:
    """One side of the epochs."""
    bare, device = worker.peak_gb(), torch.device(options.device)
    torch.set_num_threads(options.threads)
    run = SERVED[options.serve](sp.load_npz(options.folder / "train.npz"), device)

    def with_memory() -> dict[str, Any]:
        found = run()
        if device.type == "cuda":
            found["device_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 3)
        return found

    worker.serve(with_memory, bare)
