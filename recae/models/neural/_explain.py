"""Integrated gradients of a network: what each item of a history adds to the scores of items."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recae.nn import AutoencoderNet, Batch, Ragged, UnitNorm
from recae.recommend.explain.parts import Padded, Parts

STEPS = (8, 32, 128, 512)
"""Points of the path: more of them for the scores that are not yet within `TOLERANCE`."""

TOLERANCE = 1e-3
"""Error that is accepted without more points, as a share of the sum of absolute contributions."""

ROUNDING = 1e-6
"""Error of a score in float32, relative to it, which more points do not mend."""

ENTRIES = 1 << 20
"""Entries of scaled histories in one pass, about."""

ROWS = 1 << 12
"""Scaled histories in one pass, at most."""

INTEGRATED = "integrated gradients from the empty history to the history"
UNITS = "exact, given the active units and the length of the history"
NORMALISED = f"{INTEGRATED} at length one"


def integrated_gradients(
    net: AutoencoderNet,
    batch: Batch,
    histories: Padded,
    columns: Tensor,
    tolerance: float = TOLERANCE,
) -> Parts:
    """s_i = integral over a in 0..1 of the derivative of f(a x) in the value of item i, times x_i.

    Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, with the empty
    history as baseline; by Gauss-Legendre quadrature. The s_i sum to f(x) - f(0) up to the error of
    the quadrature. x is the input of the encoder: where a network scales histories to length one, x
    has this length, because f would not depend on a. batch: the histories as the network reads
    them; columns: (rows, asked) int64. tolerance: as of `TOLERANCE`.
    """
    paths = _Paths(net, batch, histories, columns)
    found = torch.zeros(columns.numel(), paths.item.shape[1], dtype=torch.float64)
    ends = torch.zeros(2, columns.numel(), dtype=torch.float64)  # f(0) and f(x)
    todo = torch.arange(columns.numel())
    for steps in STEPS:
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        shares = torch.from_numpy(weights / 2)
        for some in paths.batches(todo, steps + 2):
            slopes, scores = paths.slopes(some, [0.0, 1.0, *((nodes + 1) / 2)])
            found[some] = torch.einsum("pre,p->re", slopes[2:], shares)
            ends[:, some] = scores[:2]
        off = (found.sum(1) - (ends[1] - ends[0])).abs()
        wanted = torch.maximum(tolerance * found.abs().sum(1), ROUNDING * ends.abs().amax(0))
        todo = (off > wanted).nonzero().flatten()
        if not len(todo):
            break
    scaled = any(isinstance(module, UnitNorm) for module in net.corrupt.modules())
    how = NORMALISED if scaled else INTEGRATED
    return Parts(paths.contributions(found), ends[0].view(columns.shape), how)


def given_the_units(net: AutoencoderNet, batch: Batch, histories: Padded, columns: Tensor) -> Parts:
    """The parts of scores by a network that is linear in its input while the same units are active.

    The baseline is what the units that are active for the history give without it. Arguments as of
    `integrated_gradients`.
    """
    paths = _Paths(net, batch, histories, columns)
    found = torch.zeros(columns.numel(), paths.item.shape[1], dtype=torch.float64)
    scores = torch.zeros(columns.numel(), dtype=torch.float64)
    for some in paths.batches(torch.arange(columns.numel()), 1):
        slopes, of_some = paths.slopes(some, [1.0])
        found[some], scores[some] = slopes[0], of_some[0]
    baseline = scores - found.sum(1)
    return Parts(paths.contributions(found), baseline.view(columns.shape), UNITS)


class _Paths:
    """The scores of items along the ways from the empty history to some histories."""

    def __init__(
        self, net: AutoencoderNet, batch: Batch, histories: Padded, columns: Tensor
    ) -> None:
        with torch.no_grad():
            read, given = net.corrupt(batch, None).input, batch.input
        assert isinstance(read, Ragged) and isinstance(given, Ragged)
        self.net, self.width, self.device = net, given.n_columns, given.values.device
        self.shape, self.wanted = columns.shape, columns.reshape(-1).to(self.device)
        self.item = histories.items.clamp_min(0).to(self.device)  # (rows, longest)
        self.of_encoder = histories.spread(read.values)
        self.of_decoder = histories.spread(given.values)

    def batches(self, todo: Tensor, points: int) -> tuple[Tensor, ...]:
        """The numbers of pairs of a history and an item, (pairs,), in parts that fit in memory."""
        most = max(min(ENTRIES // self.item.shape[1], ROWS) // points, 1)
        return torch.split(todo, most) if len(todo) else ()

    def slopes(self, some: Tensor, points: list[float]) -> tuple[Tensor, Tensor]:
        """At each point of the way, the slope of the score in the scale of each entry, (points,
        pairs, longest), and the score, (points, pairs); float64 on the CPU."""
        row = (some // max(self.shape[1], 1)).to(self.device)
        places = self.of_encoder.new_tensor(points)
        shape = len(places), *self.item[row].shape
        n_rows, longest = shape[0] * shape[1], shape[2]
        offsets = torch.arange(0, n_rows * longest + 1, longest, device=self.device)
        indices = self.item[row].expand(shape).reshape(-1)
        with torch.enable_grad():
            scale = places[:, None, None].expand(shape).clone().requires_grad_()
            read, given = (
                Ragged(indices, offsets, (values[row] * scale).reshape(-1), self.width)
                for values in (self.of_encoder, self.of_decoder)
            )
            batch = Batch(given, given)
            z, _ = self.net.code(self.net.encoder(read), batch, None)
            wanted = self.wanted[some.to(self.device)].repeat(len(places))
            scores = self.net.decoder(z, batch).at(wanted)  # (points x pairs,)
            (slopes,) = torch.autograd.grad(scores.sum(), scale)
        return slopes.double().cpu(), scores.detach().view(shape[:2]).double().cpu()

    def contributions(self, found: Tensor) -> Tensor:
        """(pairs, longest) as (rows, longest, asked)."""
        return found.view(*self.shape, found.shape[1]).mT.contiguous()
