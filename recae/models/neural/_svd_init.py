"""Initialises the first and last layers with singular vectors of the histories (`init="svd"`)."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional as F

from recae.data.csr import column_counts
from recae.data.scaled import Rows
from recae.data.svd import truncated_svd
from recae.errors import ConfigError
from recae.estimators.params import param
from recae.nn import AutoencoderNet, CosineHead, Gaussian, InputLinear, LinearHead
from recae.rng import Stream, numpy_generator

SPREAD = 0.5
"""Root mean square of a hidden unit over the training users, where tanh is nearly straight."""

LIFT = 2.0
"""From a hidden unit to a mean of the posterior, whose spread is then that of the prior, 1."""

RIDGE = 10.0
"""Ridge of the linear autoencoder that the layers begin at, in mean diagonals of R'R."""

GAINS = (0.0, *(2.0**power for power in range(-4, 10)))

USERS = 500
"""Users that the gain is chosen on, drawn with replacement: few users give many halves."""

SEEN = 0.5
"""Share of a history that is the input when the gain is chosen. With all of it as input, copying
is best, and with it a gain without bounds."""

CELLS = 4_000_000
"""Scores held at a time, at most, where a row has fewer."""

PRODUCTS = 8
"""Products of the decomposition at most: a start need not be exact."""

NEGLIGIBLE = 1e-5
"""Singular values below this share of the largest one are rounding errors."""


def init_param(default: str = "glorot") -> Any:
    """The hyperparameter `init` of a model that may have one hidden layer."""
    return param(
        "what the first and the last layer begin as: glorot draws them; svd takes the leading "
        "singular vectors of the normalised histories, which saves epochs",
        default=default,
        choices=("glorot", "svd"),
        usual=(default,),  # a search may draw deeper networks too
    )


def check_init(model: Any, one_hidden_layer: bool) -> None:
    """Raises ConfigError for `init="svd"` of a model with more than one hidden layer."""
    if model.init == "svd" and not one_hidden_layer:
        raise ConfigError(
            f"init='svd' needs a network of one hidden layer, and {model!r} has more: name fewer "
            "layers, or take init='glorot'",
            parameter="init",
            value=model.init,
        )


@torch.no_grad()
def svd_init(net: AutoencoderNet, histories: Any, seed: int, progress: bool | None = None) -> None:
    """Overwrites the first and the last layer of a network of one hidden layer, on the CPU.

    With c the items' numbers of users (one or more), d = (c / mean c)^-1/2, L the lengths of the
    histories and s, V the leading singular values and vectors of R = diag(L^-1/2) X diag(d), each
    direction j is scaled by a_j = spread / (s_j / sqrt(users)):

        first layer W_ij = d_i V_ij a_j;  means mu_j = 2 h_j;  last layer G g_j V_ij / (d_i a_j m)

    with m = 2 where there are means, else 1, and g_j = s_j^2 / (s_j^2 + l) for a ridge l of `RIDGE`
    times the mean diagonal of R'R. The untrained scores are then nearly those of the linear
    autoencoder G (x / |x| d) V diag(g) V' / d. Without the ridge all directions would count alike,
    as in PureSVD: the network then begins overfitted, and its first epoch is its best. The gain G,
    one of `GAINS`, is the likeliest for the histories of 500 training users given a random half of
    each, with the biases of the last layer. Units beyond the directions of the data stay as drawn,
    and so do hidden units beyond the code.
    Memory is that of `truncated_svd`, and of some scores for the gain.

    histories: CSR of ones, (users, n_items); seed: of the directions that the decomposition begins
    with, and of the users. The signs of the directions are as they come.
    """
    first = cast(InputLinear, cast(Any, net.encoder)[0])
    head = cast(LinearHead, net.decoder.head)
    k = min(first.weight.shape[1], head.weight.shape[1], *histories.shape)
    generator = numpy_generator(seed, Stream.SVD_START)
    counts = column_counts(histories).clip(1)
    damping = ((counts / counts.mean()) ** -0.5).astype(np.float32)  # d, (n_items,)
    rows = normalised(histories, damping)
    s, v = leading(rows, k, generator, progress)
    k = int((s > NEGLIGIBLE * s[0]).sum())
    s, v = s[:k], v[:, :k]
    scale = (SPREAD * np.sqrt(rows.shape[0]) / s).astype(np.float32)  # a, (k,)
    ridge = RIDGE * float(np.square(rows.data, dtype=np.float64).sum()) / rows.shape[1]
    kept = (s**2 / (s**2 + ridge)).astype(np.float32)  # g, (k,)

    lift = 1.0
    if isinstance(net.code, Gaussian):
        lift = LIFT
        net.code.mu.weight[:k] = lift * torch.eye(*net.code.mu.weight.shape)[:k]
    v_out = torch.from_numpy(v / damping[:, None])  # (n_items, k)
    some = np.sort(generator.integers(rows.shape[0], size=USERS))
    seen = rows[some]
    seen.data *= (generator.random(seen.nnz) < SEEN) / np.float32(SEEN)
    codes = torch.from_numpy((seen @ v) * kept)  # (users, k)
    gain = likeliest_gain(codes, v_out, head.bias, histories[some])
    first.weight[:, :k] = torch.from_numpy(v * damping[:, None] * scale)
    head.weight[:, :k] = v_out * torch.from_numpy(kept * gain / (lift * scale))


@torch.no_grad()
def unit_svd_init(
    net: AutoencoderNet, histories: Any, seed: int, progress: bool | None = None
) -> None:
    """Overwrites the two layers of a network with a `CosineHead`, on the CPU.

    With R = diag(L^-1/2) X diag(d) of `svd_init` and its leading singular values and vectors s, V,
    both layers become V diag(s)^1/2, whose rows have the inner products V diag(s) V'. In the first
    layer they keep their lengths, 1 in root mean square; in the last one each has length 1. Rows of
    items without a user stay as drawn, and so do units beyond the directions of the data.
    """
    first = cast(InputLinear, cast(Any, net.encoder)[0])
    head = cast(CosineHead, net.decoder.head)
    k = min(first.weight.shape[1], *histories.shape)
    counts = column_counts(histories)
    damping = (counts.clip(1) / counts.clip(1).mean()) ** -0.5  # d, (n_items,)
    rows = normalised(histories, damping.astype(np.float32))
    s, v = leading(rows, k, numpy_generator(seed, Stream.SVD_START), progress)
    k = int((s > NEGLIGIBLE * s[0]).sum())
    s, v = s[:k], v[:, :k]
    vectors = torch.from_numpy(v * s**0.5)  # (n_items, k)
    known = torch.from_numpy(counts > 0)
    vectors = vectors / vectors[known].square().sum(1).mean().sqrt()
    first.weight[known, :k] = vectors[known]
    head.weight[known, :k] = F.normalize(vectors[known], dim=1)


def leading(
    rows: Any, k: int, generator: np.random.Generator, progress: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """s (k,) and V (n_items, k), float32, of a CSR matrix, roughly."""
    read = Rows(rows, lambda part: part)
    _, s, v = truncated_svd(read, k, start=generator, most=PRODUCTS, progress=progress)
    return s.astype(np.float32), v.astype(np.float32)


def normalised(histories: Any, damping: np.ndarray) -> Any:
    """R = diag(L^-1/2) X diag(d): CSR (users, n_items) float32."""
    lengths = np.diff(histories.indptr)
    values = np.repeat(lengths.clip(1) ** -0.5, lengths) * damping[histories.indices]
    parts = (values.astype(np.float32), histories.indices, histories.indptr)
    return sp.csr_matrix(parts, shape=histories.shape)


def likeliest_gain(codes: Tensor, weight: Tensor, bias: Tensor, histories: Any) -> float:
    """The g of `GAINS` with the least multinomial loss of g codes weight' + bias.

    codes: (users, k); weight: (n_items, k); bias: (n_items,); histories: CSR of ones. The scores
    are held for some users at a time.
    """
    losses = torch.zeros(len(GAINS), dtype=torch.float64)
    step = max(CELLS // len(weight), 1)
    for start in range(0, len(codes), step):
        scores = codes[start : start + step] @ weight.T  # (rows, n_items)
        part = histories[start : start + step]
        lengths = torch.from_numpy(np.diff(part.indptr))
        rows = torch.repeat_interleave(torch.arange(len(scores)), lengths)
        items = torch.from_numpy(part.indices.astype(np.int64))
        for place, gain in enumerate(GAINS):
            logits = torch.add(bias, scores, alpha=gain)
            there = logits[rows, items].double().sum()
            losses[place] += (lengths * logits.logsumexp(1).double()).sum() - there
    return GAINS[int(losses.argmin())]
