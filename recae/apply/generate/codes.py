"""Where codes come from and what they say: posteriors of histories, and scores of codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recae.errors import ConfigError
from recae.models import (
    CDAE,
    AutoRec,
    HVamp,
    MacridVAE,
    MultDAE,
    MultVAE,
    RecVAE,
    SparseAE,
    VanillaAE,
)
from recae.models.neural._base import NeuralRecommender
from recae.nn import (
    AutoencoderNet,
    Batch,
    CompositeGaussian,
    ConceptDecoder,
    ConceptGaussians,
    Decoder,
    Gaussian,
    HierarchicalDecoder,
    HierarchicalVamp,
)
from recae.recommend.base import Recommender

SAMPLED = (MultVAE, RecVAE, MacridVAE, HVamp)
DECODED = (*SAMPLED, MultDAE, VanillaAE, CDAE, SparseAE, AutoRec)
"""For messages; what decides are the pieces of a model's network, so that others may join."""

TILE = 64
"""Codes decoded together, padded when fewer: products of one shape repeat their bits."""


def check_decodes(model: Any) -> NeuralRecommender:
    """The model, fitted and with a decoder that needs nothing but a code. Raises ConfigError."""
    if isinstance(model, Recommender):
        model._check_fitted()
    if isinstance(model, NeuralRecommender) and isinstance(
        model.network_.decoder, Decoder | HierarchicalDecoder | ConceptDecoder
    ):
        return model
    raise ConfigError(
        f"{_name(model)} has no code that alone decides the scores; these have: {_names(DECODED)}"
    )


def check_samples(model: Any) -> NeuralRecommender:
    """The model, if its codes are drawn and its scores a likelihood. Raises ConfigError."""
    if isinstance(model, Recommender):
        model._check_fitted()
    if isinstance(model, NeuralRecommender):
        code = model.network_.code
        drawn = Gaussian | CompositeGaussian | ConceptGaussians | HierarchicalVamp
        decoded = isinstance(model.network_.decoder, Decoder | HierarchicalDecoder | ConceptDecoder)
        if decoded and isinstance(code, drawn) and likelihood(model) in LOG_WEIGHTS:
            return model
    raise ConfigError(
        f"{_name(model)} has no code to draw users from; the variational autoencoders have: "
        f"{_names(SAMPLED)}"
    )


def likelihood(model: NeuralRecommender) -> str:
    """What the model takes its scores for: "multinomial", "logistic" or a loss that is neither."""
    return model._objective(1).reconstruction


LOG_WEIGHTS: dict[str, Any] = {"multinomial": lambda scores: scores, "logistic": F.logsigmoid}
"""Scores -> the logarithm of what an item weighs in a draw."""


def posterior(model: NeuralRecommender, matrix: Any) -> tuple[Tensor, Tensor]:
    """Means and deviations of the codes of CSR histories, (rows, width of the code) float32 each.

    Of two levels of codes, the lower one's are those at the mean of the upper one.
    """
    net, width = model.network_, model._code_width()
    with torch.no_grad():
        both = model._tiles(net, matrix, lambda batch: _mean_and_deviation(net, batch), 2 * width)
    return both[:, :width].cpu(), both[:, width:].cpu()


def decode(model: NeuralRecommender, codes: Tensor) -> Tensor:
    """The scores of codes, (rows, width of the code) -> (rows, n_items) float32, on the model's
    device; a row's bits do not depend on the others."""
    net = model.network_
    device = next(net.parameters()).device
    out = torch.empty(len(codes), len(model.items_), device=device)
    with torch.no_grad():
        for start in range(0, len(codes), TILE):
            some = codes[start : start + TILE].to(device)
            padded = F.pad(some, (0, 0, 0, TILE - len(some)))
            scores = net.decoder(padded, Batch(padded, padded)).dense()
            out[start : start + TILE] = scores[: len(some)]
    return out


def _mean_and_deviation(net: AutoencoderNet, batch: Batch) -> Tensor:
    code: Any = net.code
    hidden = net.encoder(net.corrupt(batch, None).input)
    if isinstance(code, ConceptGaussians):
        each = hidden.reshape(len(hidden) * code.n_concepts, -1)
        mean = F.normalize(code.mu(each), dim=1).reshape(len(hidden), -1)
        deviation = code.spread * (0.5 * code.log_variance(each)).exp().reshape(len(hidden), -1)
    elif isinstance(code, HierarchicalVamp):
        z2, spread2 = code.upper(hidden[:, : code.width])
        joined = torch.cat([hidden[:, code.width :], code.from_upper(z2)], 1)
        z1, spread1 = code.lower(code.joint(joined))
        mean, deviation = torch.cat([z1, z2], 1), (0.5 * torch.cat([spread1, spread2], 1)).exp()
    else:
        mean, deviation = code.mu(hidden), (0.5 * code.log_variance(hidden)).exp()
    return torch.cat([mean, deviation], 1)


def _name(model: Any) -> str:
    return type(model).__name__


def _names(models: tuple[type[Any], ...]) -> str:
    return ", ".join(model.__name__ for model in models)


TINY = 1e-30


def races(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Gumbel noise (rows, n_items): what `drawn` adds to the logarithms of weights."""
    return torch.empty(shape).exponential_(generator=generator).clamp_(min=TINY).log_().neg_()


def drawn(logs: Tensor, noise: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """So many items of each row, one after the other by their weights, none twice.

    logs, noise: (rows, n_items); lengths: (rows,) int64, at most n_items. The items with the
    highest logs + noise are such a draw (Vieira 2014; Kool, van Hoof & Welling, ICML 2019).
    Returns the columns, row after row, (sum of lengths,), and where each row's end, (rows + 1,).
    """
    most = int(lengths.max())
    columns = (logs + noise).topk(most, dim=1).indices  # (rows, most)
    wanted = torch.arange(most, device=columns.device) < lengths.to(columns.device)[:, None]
    columns = torch.where(wanted, columns, logs.shape[1]).sort(dim=1).values
    kept = columns[columns < logs.shape[1]]
    return kept, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def inclusion(logs: Tensor, noise: Tensor, lengths: Tensor) -> Tensor:
    """An unbiased estimate of how likely each item was to be drawn, (rows, n_items).

    Given the noise of all others, an item is drawn if its own lifts it above the n-th highest of
    them, t: with probability 1 - exp(-exp(log - t)) (priority sampling, Duffield, Lund & Thorup
    2007). It says of every item what a count says only of those drawn.
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
