"""Bringing dead units of a sparse code back to life."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.sparse import UsageCounter

FAINT = 0.5
"""Length of a revived unit's encoder weights beside the mean of the living. With the 0.2 of Bricken
et al. units did not get among the largest of a row again (24 of 48, signed top-k)."""

SHARE = 8
"""One unit of so many is revived at a time: more of them, all pointed at the same rows, would shout
together."""


@torch.no_grad()
def revive(
    code: UsageCounter,
    weight: Tensor,
    bias: Tensor,
    atoms: Tensor,
    features: Tensor,
    residuals: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Points units that were active for no row since the last call at what is explained worst.

    Rows are drawn with a chance in proportion to their squared error. A dead unit's encoder weights
    become such a row's residual, faint, with bias 0, and its atom the same at length one. Where the
    last encoder layer does not read the examples themselves it is pointed at the row's features,
    and where atoms are not of the residuals' width, what the atom was stays. After Bricken et al.,
    "Towards Monosemanticity", 2023. weight: (width, units) of the last encoder layer, overwritten,
    as bias (units,) and atoms (n_out, units) are; features: (rows, width) what that layer reads;
    residuals: (rows, n). Returns the units revived, (count,) int64, and resets the counts.
    """
    alive = code.used > 0
    dead = (~alive).nonzero().flatten().cpu()
    code.used.zero_()
    errors = residuals.square().sum(1).cpu()
    if not len(dead) or not bool(errors.sum() > 0):
        return dead[:0]
    some = torch.randperm(len(dead), generator=generator)[: max(len(alive) // SHARE, 1)]
    dead = dead[some]
    rows = torch.multinomial(errors, len(dead), replacement=True, generator=generator)
    dead, rows = dead.to(weight.device), rows.to(weight.device)
    toward = residuals if features.shape == residuals.shape else features
    living = weight[:, alive] if bool(alive.any()) else weight
    weight[:, dead] = FAINT * living.norm(dim=0).mean() * F.normalize(toward[rows], dim=1).t()
    bias[dead] = 0
    if len(atoms) == residuals.shape[1]:
        atoms[:, dead] = F.normalize(residuals[rows], dim=1).t()
    return dead


def transposed_start(weight: nn.Parameter, atoms: nn.Parameter) -> None:
    """Makes the encoder begin as the decoder's transpose (Gao et al. 2024): (n, units) both."""
    with torch.no_grad():
        weight.copy_(F.normalize(atoms, dim=0))
