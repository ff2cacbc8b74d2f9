"""FlowCF: a flow from histories drawn by popularity to histories of users, in binary steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from recae import training
from recae.data.csr import column_counts
from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender
from recae.nn import (
    AutoencoderNet,
    Batch,
    Chain,
    Decoder,
    Dropout,
    InputLinear,
    Linear,
    LinearHead,
    Ragged,
    mlp,
)
from recae.nn.batch import UNKNOWN, Coded, counted, sent
from recae.nn.diffusion import StepShift, to_dense
from recae.nn.products import row_chunks, times
from recae.recommend.onnx.graph import Value, apply, full
from recae.recommend.onnx.histories import Histories
from recae.recommend.onnx.networks import array, layer, scored

CELLS = 1 << 22
"""Scores of some rows that are computed together."""


class FlowSteps(nn.Module):
    """Draws a step for each training row, and its place on the way from popularity to the history.

    x_t has each cell of the history with the chance t = step / steps, and else that of x_0, which
    has item i with the share of the users that have it (equations 5 and 7 of Liu et al. 2025). Rows
    stay sparse on a CPU: x_0 is as long as a history, on average. A GPU would have to be asked how
    long it is, so there rows become dense.
    """

    def __init__(self, n_items: int, steps: int) -> None:
        super().__init__()
        self.n_items, self.steps = n_items, steps
        self.shares = np.zeros(n_items, dtype=np.float32)  # of the users; only training needs them
        self.drawn: Tensor | None = None  # the steps of this batch, (rows,)

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        self.drawn = None
        if not self.training:
            return batch
        x = batch.input
        assert isinstance(x, Ragged)
        device = x.values.device
        self.drawn = torch.randint(self.steps, (len(x),), generator=generator, device=device)
        return batch.with_input(self.between(x, self.drawn / self.steps, generator))

    def between(self, x: Ragged, t: Tensor, generator: torch.Generator | None) -> Ragged | Tensor:
        """x_t of histories at the times t, (rows,); cells from x_0 have the value 1."""

        def uniform(*size: int) -> Tensor:
            return torch.rand(size, generator=generator, device=t.device)

        shares = sent(torch.as_tensor(self.shares), t.device)
        start = uniform(len(x), self.n_items) < shares  # x_0
        if t.device.type != "cpu":
            own = to_dense(x)
            stays = (uniform(len(x), self.n_items) < t[:, None]) | (start & (own != 0))
            return torch.where(stays, own, start.to(own.dtype))
        stays = (uniform(len(x.indices)) < t[x.rows]) | start[x.rows, x.indices]
        start[x.rows, x.indices] = False
        rows, columns = start.nonzero(as_tuple=True)
        others = uniform(len(rows)) >= t[rows]
        return joined(x.where(stays), rows[others], columns[others])


def joined(x: Ragged, rows: Tensor, columns: Tensor) -> Ragged:
    """Rows with more cells, which they do not have, of the value 1."""
    both = torch.cat([x.rows, rows])
    order = torch.argsort(both * x.n_columns + torch.cat([x.indices, columns]))
    lengths = counted(both, len(x))
    return replace(
        x,
        indices=torch.cat([x.indices, columns])[order],
        values=torch.cat([x.values, x.values.new_ones(len(rows))])[order],
        offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
        **UNKNOWN,
    )


class FlowCode(nn.Module):
    """a -> h(tanh(a + s_t)), where the first layer gives a, and s_t is that of the step.

    In evaluation it goes the last `taken` steps, from the history x. From the scores f at a step
    with `left` steps to go, x_(t+1) has the cells of x and those where x_t + (f - x_t) / left is
    above 1/2; the code is that of the last step.
    """

    def __init__(
        self, path: FlowSteps, taken: int, widths: Sequence[int], waves: int, dropout: float
    ) -> None:
        super().__init__()
        self.shift = StepShift(waves, widths[0])
        self.layers = mlp(widths)
        self.drop = Dropout(dropout)
        self.path, self.taken = path, taken
        self.outside: list[Any] = []  # the first layer and the head; a list: they are saved once

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """One point of the path in training; else the last `taken` steps along it, for a chunk of
        rows at a time."""
        if self.training and self.path.drawn is not None:
            return self.at(hidden, self.shifts(self.path.drawn), generator), {}
        shifts = self.shifts(torch.arange(self.path.steps, device=hidden.device))[-self.taken :]
        z = self.at(hidden, shifts[0])
        if self.taken == 1:
            return z, {}
        own = to_dense(batch.input) != 0
        parts = [
            self.walked(z[rows], hidden[rows], own[rows], shifts)
            for rows in row_chunks(len(z), self.path.n_items, CELLS)
        ]
        return torch.cat(parts) if parts else z, {}

    def walked(self, z: Tensor, hidden: Tensor, own: Tensor, shifts: Tensor) -> Tensor:
        """The code of the last step of rows with the cells `own`, (rows, n_items) bool."""
        reads, head = self.outside
        added = torch.zeros_like(own)
        for number, shift in enumerate(shifts[1:]):
            scores, here = head(z).dense().detach(), added.to(z.dtype)
            added = (here + (scores - here) / (self.taken - number) > 0.5) & ~own
            z = self.at(hidden + times(added.to(z.dtype), reads.weight), shift)
        return z

    def shifts(self, steps: Tensor) -> Tensor:
        """s_t of some steps, (n, width)."""
        found: Tensor = self.shift(2 * math.pi * steps / self.path.steps)
        return found

    def at(self, hidden: Tensor, shift: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """h(tanh(a + s_t)); drops units if there is a generator."""
        z = (hidden + shift).tanh()
        for step in self.layers:
            z = step(self.dropped(z, generator) if isinstance(step, Linear) else z)
        return self.dropped(z, generator)

    def dropped(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """Units of a hidden layer, some of them zero if there is a generator."""
        return self.drop.noisy(z, generator) if generator is not None and self.drop.amount else z


@estimator
class FlowCF(NeuralRecommender):
    """A discrete flow from histories drawn by popularity to those of users.

    x_t = x where a uniform draw is below t, else x_0, with x_0i = 1 by the share of users that have
    item i; f(x_t, t) = V h(x_t, t) + c with tanh layers; loss = |x - f(x_t, t)|^2 for a step t
    drawn for each user, plus l2. Scores are f of the last of `taken` steps, which start at the
    history and add items whose scores are high enough; the history stays.

    Liu, Zhang, Wang, Ying & Caverlee, "Flow Matching for Collaborative Filtering", KDD 2025, as in
    the authors' code. There an item is added from a score above 1 on, so on most data nothing is
    added: the model is a denoising autoencoder with two kinds of noise, lost and random items. It
    is quick to train and to recommend with. An epoch costs 6 x users x items x width operations;
    memory is 2 x items x width weights, their gradients and moments, and a mask and a chunk of
    scores of batch_size x items.

    >>> recae.FlowCF(latent=3, hidden=(2,), epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "flow-cf"
    small = dict(latent=8, hidden=(7,), epochs=2, batch_size=10, lr=0.01)
    uses_processes: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' settings for MovieLens 1M.
        "paper": dict(epochs=500, batch_size=4096, patience=10, metric="ndcg@10")
    }

    latent: int = param("width of the last hidden layer", default=300, low=1, usual=(64, 600))
    hidden: tuple[int, ...] = param(
        "widths of the hidden layers before it", default=(300,), low=1, usual=(64, 600)
    )
    dropout: float = param(
        "share of the input and of each hidden layer that is zeroed, the rest scaled up",
        default=0.1,
        low=0,
        high=0.99,
        usual=(0, 0.8),
    )
    steps: int = param("steps of the flow", default=9, low=1, usual=(4, 20))
    taken: int = param("of these, how many recommending takes", default=2, low=1)
    waves: int = param("width of the embedding of a step", default=10, low=1)

    def check_params(self) -> None:
        super().check_params()
        if self.taken > self.steps:
            raise ConfigError(
                f"taken of FlowCF is {self.taken}, but there are only {self.steps} steps: lower it",
                parameter="taken",
                value=self.taken,
            )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """A network that predicts the history from a point of the flow between popularity and the
        history."""
        widths = (*self.hidden, self.latent)
        first, head = InputLinear(n_items, widths[0]), LinearHead(self.latent, n_items)
        path = FlowSteps(n_items, self.steps)
        code = FlowCode(path, self.taken, widths, self.waves, self.dropout)
        code.outside = [first, head]
        return AutoencoderNet(
            corrupt=Chain(path, Dropout(self.dropout)),
            encoder=first,
            code=code,
            decoder=Decoder(mlp(()), head),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("squared")

    def _prepare(self, net: AutoencoderNet, histories: Any, device: torch.device) -> None:
        path: Any = net.code.path
        shares = column_counts(histories) / histories.shape[0]
        path.shares = shares.astype(np.float32)

    def _onnx_scores(self, histories: Histories) -> Value:
        """The last steps of the flow. Items that reach 0.5 on the way are added to the input of the
        next step."""
        net: Any = self.network_
        code, read = net.code, histories.weighted(self, "input", "both")
        with torch.no_grad():
            hidden = layer(net.encoder, read)
            empty = full(read.row, [read.rows, [read.n_items]], 0, "float32")
            own = read.written(empty, read.values * 0.0 + 1.0)
            added, weight = own * 0.0, hidden.graph.constant(array(net.encoder.weight))
            now = hidden
            shifts = array(code.shifts(torch.arange(self.steps)))[-self.taken :]
            for left, shift in zip(range(self.taken, 0, -1), shifts, strict=True):
                z = layer(code.layers, apply("Tanh", now + shift))
                scores = scored(net.decoder.head, z)
                if left > 1:
                    reached = added + (scores - added) / float(left)
                    high = apply("Greater", reached, 0.5, dtype="bool") & own.equals(0.0)
                    added = high.to("float32")
                    now = hidden + added @ weight
            return scores
