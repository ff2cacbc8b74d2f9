"""Posteriors of the codes of histories, scores of codes, and draws of items by scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recae.errors import ConfigError
from recae.models.neural._base import NeuralRecommender
from recae.nn import Batch, ConceptDecoder, Decoder, HierarchicalDecoder
from recae.recommend.base import Recommender
from recae.system.machine import row_batches


def check_decodes(model: Any) -> NeuralRecommender:
    """The fitted model, if its decoder needs only a code. Raises ConfigError otherwise."""
    if isinstance(model, Recommender):
        model._check_fitted()
    decoders = Decoder | HierarchicalDecoder | ConceptDecoder
    if isinstance(model, NeuralRecommender) and isinstance(model.network_.decoder, decoders):
        return model
    raise ConfigError(
        f"{type(model).__name__} has no decoder that needs only a code: take an autoencoder, such "
        "as MultVAE, RecVAE or HVamp",
        parameter="model",
        value=model,
    )


def check_samples(model: Any) -> NeuralRecommender:
    """The fitted model, if its codes are random and its scores a likelihood. Raises ConfigError."""
    found = check_decodes(model)
    if hasattr(found.network_.code, "mean_and_deviation") and likelihood(found) in LOG_WEIGHTS:
        return found
    raise ConfigError(
        f"{type(model).__name__} has no posterior of codes to draw users from: take a variational "
        "autoencoder, such as MultVAE, RecVAE, MacridVAE or HVamp",
        parameter="model",
        value=model,
    )


def likelihood(model: NeuralRecommender) -> str:
    """The reconstruction loss: "multinomial", "logistic" or one without a likelihood of items."""
    return model._objective(1).reconstruction


LOG_WEIGHTS: dict[str, Any] = {"multinomial": lambda scores: scores, "logistic": F.logsigmoid}
"""Scores -> logarithms of the weights of items in a draw."""


def posterior(model: NeuralRecommender, matrix: Any) -> tuple[Tensor, Tensor]:
    """Means and deviations of the codes of CSR histories, (rows, width) float32 each."""
    net, width = model.network_, model._code_width()

    def read(batch: Batch) -> Tensor:
        code: Any = net.code
        hidden = net.encoder(net.corrupt(batch, None).input)
        return torch.cat(code.mean_and_deviation(hidden), 1)

    both = model._read_rows(read, matrix)
    return both[:, :width].cpu(), both[:, width:].cpu()


def decode(model: NeuralRecommender, codes: Tensor) -> Tensor:
    """The scores of codes, (rows, width of the code) -> (rows, n_items) float32, on the model's
    device."""
    net = model.network_
    codes = codes.to(next(net.parameters()).device)
    batches = (codes[rows] for rows in row_batches(len(codes), len(model.items_)))
    with torch.no_grad():
        return torch.cat([net.decoder(some, Batch(some, some)).dense() for some in batches])


TINY = 1e-30


def races(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Gumbel noise (rows, n_items), which `drawn` adds to the logarithms of weights."""
    return torch.empty(shape).exponential_(generator=generator).clamp_(min=TINY).log_().neg_()


def drawn(logs: Tensor, noise: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Draws `lengths` items of each row without replacement, in proportion to their weights.

    logs, noise: (rows, n_items); lengths: (rows,) int64, at most n_items. The items with the
    highest logs + noise are such a draw (Vieira 2014; Kool, van Hoof & Welling, ICML 2019).
    Returns the columns, row after row, (sum of lengths,), and the row offsets, (rows + 1,).
    """
    most = int(lengths.max())
    columns = (logs + noise).topk(most, dim=1).indices  # (rows, most)
    wanted = torch.arange(most, device=columns.device) < lengths.to(columns.device)[:, None]
    columns = torch.where(wanted, columns, logs.shape[1]).sort(dim=1).values
    kept = columns[columns < logs.shape[1]]
    return kept, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def inclusion(logs: Tensor, noise: Tensor, lengths: Tensor) -> Tensor:
    """An unbiased estimate of the probability that each item is drawn, (rows, n_items).

    Given the noise of the other items, an item is drawn if its own noise lifts it above their n-th
    highest value t. The probability is 1 - exp(-exp(log - t)) (priority sampling, Duffield, Lund &
    Thorup 2007). Its variance is lower than that of counting the drawn items.
    """
    n_items, lengths = logs.shape[1], lengths.to(logs.device)
    perturbed = logs + noise
    most = min(int(lengths.max()) + 1, n_items)
    highest = perturbed.topk(most, dim=1).values  # (rows, most)
    last = highest.gather(1, (lengths - 1)[:, None])
    beyond = highest.gather(1, lengths.clamp(max=most - 1)[:, None])
    beyond = torch.where((lengths < n_items)[:, None], beyond, -torch.inf)
    threshold = torch.where(perturbed >= last, beyond, last)
    return -torch.expm1(-(logs - threshold).exp())
