"""SoftmaxMF: matrix factorisation with cosine scores and a sampled softmax."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

from recae import training
from recae.data import Interactions
from recae.data.csr import row_numbers
from recae.data.splits import Fold
from recae.errors import TrainingError
from recae.estimators.params import estimator, param
from recae.models.factors._base import FactorRecommender, Stopped, report_epoch
from recae.recommend.explain.parts import Parts, from_factors
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value, apply
from recae.recommend.onnx.histories import Histories
from recae.recommend.sparse import summed, with_weights_or_ones
from recae.rng import Stream, numpy_generator, torch_generator
from recae.system.progress import bar


@estimator
class SoftmaxMF(FactorRecommender):
    """Factors of users and items trained by a softmax over sampled items, new users folded in.

    min - sum over (u, i) of ln [ e^(s_ui / t) / (e^(s_ui / t) + sum over j of e^(s_uj / t)) ], with
    s_ui = cos(x_u, y_i), t the `temperature`, and j the `num_sampled` items drawn uniformly for
    each batch. A user is then folded in, known or new, as the direction of the sum of the items in
    the history: x = sum of y_i / |y_i|, which is where that sum of cosines is largest; the score of
    an item is cos(x, y_j).

    Wu et al., "On the Effectiveness of Sampled Softmax Loss for Item Recommendation", TOIS 2024.
    A better baseline than BPR: it learns from hundreds of negatives at a time, and recommends more
    rare items. The learning rate of Adam falls to 0 in equal steps. As in `BPR`, the factors of
    users are dropped after the training. An epoch costs about 6 x interactions x num_sampled x
    latent operations; memory is three times (users + items) x latent while fitting.

    >>> model = recae.SoftmaxMF(latent=4, epochs=5, batch_size=8)
    >>> model.fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "softmax-mf"
    uses_seed = True
    uses_device = True
    uses_callbacks = True
    small = dict(latent=5, epochs=3, batch_size=64, lr=0.05, num_sampled=8)

    temperature: float = param(
        "t, by which cosines are divided; smaller learns more from the hardest negatives",
        default=0.15,
        low=0.01,
        usual=(0.05, 0.3),
    )
    num_sampled: int = param("items drawn for a batch", default=500, low=1)
    lr: float = param(
        "learning rate at the start; it falls to 0", default=0.01, above=0, usual=(1e-3, 0.1)
    )
    batch_size: int = param("interactions per update", default=2048, low=1)
    epochs: int = param("passes over the interactions", default=20, low=1, usual=(10, 100))

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Sparse Adam on the sampled softmax of cosines; the learning rate falls to 0 in a straight
        line."""
        device, n_users, n_items = run.device, data.n_users, data.n_items
        users = torch.from_numpy(row_numbers(data.matrix.indptr).astype(np.int64))
        items = torch.from_numpy(data.matrix.indices.astype(np.int64))
        draws = torch_generator(run.seed, Stream.WEIGHTS)
        factors = [
            torch.randn(n, self.latent, generator=draws).mul_(self.latent**-0.5).to(device)
            for n in (n_users, n_items)
        ]
        for table in factors:
            table.requires_grad_()
        optimiser = torch.optim.SparseAdam(factors, lr=self.lr)
        batches = -(-data.nnz // self.batch_size)
        order = numpy_generator(run.seed, Stream.SHUFFLE)
        negatives = torch_generator(run.seed, Stream.SAMPLED_ITEMS)
        with (
            bar(self.epochs, type(self).__name__, "epoch", run.progress) as progress_bar,
            torch.enable_grad(),
        ):
            for epoch in range(self.epochs):
                begun, total = time.monotonic(), torch.zeros((), device=device)
                shuffled = torch.from_numpy(order.permutation(data.nnz))
                for number in range(batches):
                    batch = shuffled[number * self.batch_size : (number + 1) * self.batch_size]
                    drawn = torch.randint(n_items, (self.num_sampled,), generator=negatives)
                    left = 1 - (epoch * batches + number) / (self.epochs * batches)
                    optimiser.param_groups[0]["lr"] = self.lr * left
                    some = (part.to(device) for part in (users[batch], items[batch], drawn))
                    loss = self._loss(*factors, *some)
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()  # type: ignore[no-untyped-call]
                    total += loss.detach() * len(batch)
                progress_bar.update()
                mean = float(total) / data.nnz
                try:
                    report_epoch(run, epoch + 1, mean, time.monotonic() - begun)
                except Stopped:
                    break
        found = normalize(factors[1].detach(), dim=1)
        if not (found.square().sum(1) > 0.5).all():  # NaN, or directions of infinite factors
            raise TrainingError(
                f"the factors are no longer numbers: lower lr (now {self.lr})",
                parameter="lr",
                value=self.lr,
            )
        self.item_factors_ = found.cpu().numpy()

    def _loss(self, x: Tensor, y: Tensor, users: Tensor, items: Tensor, drawn: Tensor) -> Tensor:
        """The mean over a batch of interactions; x (n_users, n), y (n_items, n), drawn (sample,).

        An item that is drawn against itself is left out.
        """
        of_users, of_items, of_drawn = (
            normalize(embedding(rows, table, sparse=True), dim=1)
            for rows, table in ((users, x), (items, y), (drawn, y))
        )
        own = (of_users * of_items).sum(1, keepdim=True) / self.temperature
        others = of_users @ of_drawn.t() / self.temperature  # (batch, sample)
        others = others.masked_fill(items[:, None] == drawn, -torch.inf)
        return (torch.cat([own, others], 1).logsumexp(1) - own.squeeze(1)).mean()

    def _embed_rows(self, matrix: Any) -> Tensor:
        sums = summed(with_weights_or_ones(matrix, weighted=False), tensor_of(self.item_factors_))
        return normalize(sums, dim=1)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        ones = with_weights_or_ones(matrix, weighted=False)
        items = tensor_of(self.item_factors_)
        lengths = summed(ones, items).double().norm(dim=1).clamp_min(1e-12)
        found = from_factors(ones, columns, items, items) / lengths[:, None, None]
        return Parts.of(found, "exact, given the length of the sum of the items' factors")

    def _onnx_codes(self, histories: Histories) -> Value:
        sums = histories.with_values(histories.lengths.to("float32")[histories.row] * 0.0 + 1.0)
        code = sums.bag(self.item_factors_)
        length = apply("Sqrt", (code * code).sum(1, keep=True))
        return code / apply("Max", length, 1e-12)
