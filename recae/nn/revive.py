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

    Rows are drawn with a chance in proportion to their squared error. A dead unit's encoder weights
    become such a row's features, faint, with bias 0, and its atom the row's residual, scaled to
    length one; where atoms are not of the residuals' width, what the atom was stays. After Bricken
    et al., "Towards Monosemanticity", 2023. weight: (width, units) of the last encoder layer,
    overwritten, as bias (units,) and atoms (n_out, units) are; features: (rows, width) what that
    layer reads; residuals: (rows, n). Returns how many units were dead, and resets the counts.
    """
    dead, alive = (code.used == 0).nonzero().flatten(), code.used > 0
    code.used.zero_()
    errors = residuals.square().sum(1).cpu()
    if not len(dead) or not bool(errors.sum() > 0):
        return len(dead)
    rows = torch.multinomial(errors, len(dead), replacement=True, generator=generator)
    rows = rows.to(features.device)
    living = weight[:, alive] if bool(alive.any()) else weight
    weight[:, dead] = FAINT * living.norm(dim=0).mean() * F.normalize(features[rows], dim=1).t()
    bias[dead] = 0
    if len(atoms) == residuals.shape[1]:
        atoms[:, dead] = F.normalize(residuals[rows], dim=1).t()
    return len(dead)


def transposed_start(weight: nn.Parameter, atoms: nn.Parameter) -> None:
    """Makes the encoder begin as the decoder's transpose (Gao et al. 2024): (n, units) both."""
    with torch.no_grad():
        weight.copy_(F.normalize(atoms, dim=0))
