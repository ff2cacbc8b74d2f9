"""Ways from one code to another."""

from __future__ import annotations

import torch
from torch import Tensor

from recae.errors import unknown_option

PATHS = ("straight", "spherical")


def path_codes(start: Tensor, end: Tensor, steps: int, path: str) -> Tensor:
    """Codes along the way, (pairs, width) twice -> (pairs, steps, width), both ends included.

    straight: (1 - t) a + t b. spherical: along the arc between their directions, the length going
    from one to the other (Shoemake, SIGGRAPH 1985); straight where they point the same or the
    opposite way, or nowhere. Raises ConfigError for another path.
    """
    if path not in PATHS:
        raise unknown_option("path", path, PATHS)
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[None, :, None]
    a, b = start.double()[:, None, :], end.double()[:, None, :]
    straight = (1 - t) * a + t * b
    if path == "straight":
        return straight.float()
    lengths = [some.norm(dim=2, keepdim=True) for some in (a, b)]
    cosine = (a * b).sum(2, keepdim=True) / (lengths[0] * lengths[1]).clamp(min=1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1))
    sine = angle.sin()
    arc = ((1 - t) * angle).sin() * a / lengths[0].clamp(min=1e-12)
    arc = arc + (t * angle).sin() * b / lengths[1].clamp(min=1e-12)
    length = (1 - t) * lengths[0] + t * lengths[1]
    curved = length * arc / sine.clamp(min=1e-12)
    bent = (sine > 1e-6) & (torch.minimum(*lengths) > 1e-9)
    return torch.where(bent, curved, straight).float()
