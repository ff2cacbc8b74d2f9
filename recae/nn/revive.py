"""Bringing dead units of a sparse code back to life."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.sparse_units import Counted

FAINT = 0.2
"""Length of a revived unit's encoder weights beside the mean of the living (as in Bricken 2023)."""


@torch.no_grad()
def revive(
    code: Counted,
    weight: Tensor,
    bias: Tensor,
    atoms: Tensor,
    features: Tensor,
    residuals: Tensor,
    generator: torch.Generator,
) -> int:
    """Points units that were active for no row since the last call at what is explained worst.

    Rows are drawn with a chance in proportion to their squared error; a dead unit's atom becomes
    such a row's residual, scaled to length one, and its encoder weights that row's features, faint,
    with bias 0. After Bricken et al., "Towards Monosemanticity", 2023. weight: (width, units) of
    the last encoder layer, overwritten, as bias (units,) and atoms (n_out, units) are; features:
    (rows, width) what that layer reads; residuals: (rows, n_out). Returns how many units were dead,
    and resets the counts.
    """
    dead = (code.used == 0).nonzero().flatten()
    alive = code.used > 0
    code.used.zero_()
    errors = residuals.square().sum(1)
    if not len(dead) or not bool(errors.sum() > 0):
        return len(dead)
    rows = torch.multinomial(errors, len(dead), replacement=True, generator=generator)
    lengths = weight[:, alive].norm(dim=0)
    length = FAINT * (lengths.mean() if len(lengths) else weight.norm(dim=0).mean())
    weight[:, dead] = length * F.normalize(features[rows], dim=1).t()
    bias[dead] = 0
    atoms[:, dead] = F.normalize(residuals[rows], dim=1).t()
    return len(dead)


def transposed_start(weight: nn.Parameter, atoms: nn.Parameter) -> None:
    """Makes the encoder begin as the decoder's transpose (Gao et al. 2024): (n, units) both."""
    with torch.no_grad():
        weight.copy_(F.normalize(atoms, dim=0))
