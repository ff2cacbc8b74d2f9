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
from recae.nn import (
    AutoencoderNet,
    Batch,
    CompositeGaussian,
    ConceptDecoder,
    ConceptGaussians,
    Decoder,
    Gaussian,
    HierarchicalVamp,
    TwoLevels,
)
from recae.recommender import AutoencoderRecommender, Recommender

SAMPLED = (MultVAE, RecVAE, MacridVAE, HVamp)
DECODED = (*SAMPLED, MultDAE, VanillaAE, CDAE, SparseAE, AutoRec)
"""For messages; what decides are the pieces of a model's network, so that others may join."""

TILE = 64
"""Codes decoded together, padded when fewer: products of one shape repeat their bits."""


def check_decodes(model: Any) -> AutoencoderRecommender:
    """The model, fitted and with a decoder that needs nothing but a code. Raises ConfigError."""
    if isinstance(model, Recommender):
        model._check_fitted()
    if isinstance(model, AutoencoderRecommender) and isinstance(
        model.network_.decoder, Decoder | TwoLevels | ConceptDecoder
    ):
        return model
    raise ConfigError(
        f"{_name(model)} has no code that alone decides the scores; these have: {_names(DECODED)}"
    )


def check_samples(model: Any) -> AutoencoderRecommender:
    """The model, if its codes are drawn and its scores a likelihood. Raises ConfigError."""
    if isinstance(model, Recommender):
        model._check_fitted()
    if isinstance(model, AutoencoderRecommender):
        code = model.network_.code
        drawn = Gaussian | CompositeGaussian | ConceptGaussians | HierarchicalVamp
        decoded = isinstance(model.network_.decoder, Decoder | TwoLevels | ConceptDecoder)
        if decoded and isinstance(code, drawn) and likelihood(model) in LOG_WEIGHTS:
            return model
    raise ConfigError(
        f"{_name(model)} has no code to draw users from; the variational autoencoders have: "
        f"{_names(SAMPLED)}"
    )


def likelihood(model: AutoencoderRecommender) -> str:
    """What the model takes its scores for: "multinomial", "logistic" or a loss that is neither."""
    return model._objective(1).reconstruction


LOG_WEIGHTS: dict[str, Any] = {"multinomial": lambda scores: scores, "logistic": F.logsigmoid}
"""Scores -> the logarithm of what an item weighs in a draw."""


def posterior(model: AutoencoderRecommender, matrix: Any) -> tuple[Tensor, Tensor]:
    """Means and deviations of the codes of CSR histories, (rows, width of the code) float32 each.

    Of two levels of codes, the lower one's are those at the mean of the upper one.
    """
    net, width = model.network_, model._code_width()
    with torch.no_grad():
        both = model._tiles(net, matrix, lambda batch: _mean_and_deviation(net, batch), 2 * width)
    return both[:, :width].cpu(), both[:, width:].cpu()


def decode(model: AutoencoderRecommender, codes: Tensor) -> Tensor:
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
