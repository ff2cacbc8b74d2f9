"""The network of a codec: a linear map and an MLP side by side, to the code and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recae.nn import AutoencoderNet, Batch, DenseScores, Linear, NoCorruption, Quantised, mlp

TIMID = 0.1
"""What the last layers of the MLPs begin with, times what is usual: the linear maps lead."""

LEAK = 0.01
"""What is left, in training, of how far a pixel lies beyond black or white."""


class LinearPlusMLP(nn.Module):
    """x -> W x + b + f(x), f an MLP: what is linear need not be learnt by bending."""

    def __init__(self, n_in: int, hidden: tuple[int, ...], n_out: int) -> None:
        super().__init__()
        self.straight = Linear(n_in, n_out)
        self.bent = nn.Sequential(
            *mlp((n_in, *hidden), "swish"), Linear((n_in, *hidden)[-1], n_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.bent(x) + self.straight(x)
        return total

    @torch.no_grad()
    def begin(self, weight: Tensor) -> None:
        """Sets the linear map, (n_out, n_in), and lowers the MLP's say."""
        self.straight.weight.copy_(weight)
        last = self.bent[-1]
        assert isinstance(last, Linear)
        last.weight.mul_(TIMID)


class BoundedDecoder(nn.Module):
    """min(max(mean + f(z), 0), 1) - mean: rows of pixels between black and white, less their mean.

    What should be black may lie below it, and costs nothing there: noise of the code leaves no
    trace in what is dark. In training a little of what is cut off stays, for its gradient.
    """

    def __init__(self, layers: LinearPlusMLP, mean: Tensor) -> None:
        super().__init__()
        self.layers = layers
        self.mean: Tensor
        self.register_buffer("mean", mean)

    def rows(self, z: Tensor) -> Tensor:
        """Pixels from 0 to 1, (n, features), in evaluation."""
        free: Tensor = self.mean + self.layers(z)
        bounded = free.clamp(0, 1)
        return bounded + LEAK * (free - bounded) if self.training else bounded

    def forward(self, z: Tensor, batch: Batch) -> DenseScores:
        return DenseScores(self.rows(z) - self.mean)


def codec_network(mean: Tensor, hidden: tuple[int, ...], latent: int) -> AutoencoderNet:
    """rows less their mean (n, features) -> whole numbers of steps (n, latent) -> rows.

    mean: (features,); the weights are not yet drawn.
    """
    features = len(mean)
    return AutoencoderNet(
        corrupt=NoCorruption(),
        encoder=LinearPlusMLP(features, hidden, latent),
        code=Quantised(latent),
        decoder=BoundedDecoder(LinearPlusMLP(latent, hidden[::-1], features), mean),
    )


def principal_axes(rows: Tensor, latent: int) -> Tensor:
    """The first principal axes of centred rows, (latent, features), of length one.

    latent: no more than there are rows and features.
    """
    n, features = rows.shape
    wide = rows.double() if n * features < 10**7 else rows
    if features <= n:
        vectors = torch.linalg.eigh((wide.T @ wide).double())[1]  # rising
        axes = vectors.flip(1)[:, :latent].T
    else:
        values, vectors = torch.linalg.eigh((wide @ wide.T).double())
        axes = (wide.double().T @ vectors.flip(1)[:, :latent]).T
        axes = axes / values.flip(0)[:latent, None].clamp_min(1e-12).sqrt()
    found: Tensor = axes.float()
    return found
