"""The network of a codec: a linear map and an MLP side by side, to the code and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recae.nn import AutoencoderNet, Batch, DenseScores, Keep, Linear, Quantised, mlp

TIMID = 0.1
"""What the last layers of the MLPs begin with, times what is usual: the linear maps lead."""


class Beside(nn.Module):
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


class DenseDecoder(nn.Module):
    """Layers whose output is what the target is compared with."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor, batch: Batch) -> DenseScores:
        return DenseScores(self.layers(z))


def codec_network(features: int, hidden: tuple[int, ...], latent: int) -> AutoencoderNet:
    """rows (n, features) -> numbers of steps (n, latent) -> rows; its weights not yet drawn."""
    return AutoencoderNet(
        corrupt=Keep(),
        encoder=Beside(features, hidden, latent),
        code=Quantised(latent),
        decoder=DenseDecoder(Beside(latent, hidden[::-1], features)),
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
