"""Held-out reconstruction: scores of interactions by autoencoders trained on other users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data.csr import row_numbers
from recae.nn import (
    AutoencoderNet,
    Batch,
    Chain,
    Decoder,
    DeterministicCode,
    Dropout,
    LinearHead,
    Ragged,
    UnitNorm,
    encoder_mlp,
    mlp,
)
from recae.rng import Stream, numpy_generator
from recae.system.machine import row_batches
from recae.system.progress import bar
from recae.training import Objective, Plan, SparseLoader, train

FOLDS, PARTS = 3, 4
LATENT = 32
UPDATES = 3000
"""Largest number of updates of one network, which limits the epochs on large data."""
UNIFORM = 0.05
"""Share of the probability that is spread uniformly, so that no item has probability 0."""


@dataclass(frozen=True)
class Learning:
    """Training options of one of the two networks, chosen on attacks on ml-latest-small."""

    reconstruction: str
    dropout: float
    epochs: int
    batch_size: int
    lr: float
    l2: float


CHOICES = Learning("multinomial", dropout=0.5, epochs=30, batch_size=100, lr=1e-2, l2=0.0)
RATINGS = Learning("observed-squared", dropout=0.3, epochs=40, batch_size=50, lr=1e-3, l2=1e-3)


def choice_probabilities(
    matrix: Any, seed: int, progress: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """log p of each interaction's item, (nnz,) each, in nats: given the user's other items, and
    averaged over the users of the fold.

    matrix: (n_users, n_items) CSR. p is a softmax over the items of at least two users, with 5 %
    spread uniformly over all items. Items of a single user have no weights.
    """
    n_items = matrix.shape[1]
    shared = np.bincount(matrix.indices, minlength=n_items) > 1
    entries = np.flatnonzero(shared[matrix.indices])
    columns = (np.cumsum(shared) - 1)[matrix.indices[entries]]
    indptr = np.searchsorted(entries, matrix.indptr)
    ones = np.ones(len(entries), dtype=np.float32)
    some = sp.csr_matrix((ones, columns, indptr), shape=(matrix.shape[0], int(shared.sum())))

    def log_probabilities(scores: Tensor) -> Tensor:
        mixed: Tensor = (1 - UNIFORM) * scores.softmax(1) + UNIFORM / n_items
        return mixed.log()

    own = np.full(matrix.nnz, np.log(UNIFORM / n_items))
    usual = own.copy()
    if len(entries):
        found = _held_out(some, CHOICES, log_probabilities, seed, "choices", progress)
        own[entries], usual[entries] = found
    return own, usual


def rating_predictions(
    matrix: Any, seed: int, progress: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """The predicted rating of each interaction, and its absolute error; (nnz,) each.

    The item's mean without this rating (shrunk by two ratings of the overall mean), plus a
    network's prediction from the user's deviations from such means on other items.
    """
    values = matrix.data.astype(np.float64)
    n_items = matrix.shape[1]
    counts = np.bincount(matrix.indices, minlength=n_items)[matrix.indices]
    sums = np.bincount(matrix.indices, values, minlength=n_items)[matrix.indices]
    means = (sums - values + 2 * values.mean()) / (counts + 1)
    # Divided by a power of 2 near their spread, so that the rating scale does not matter.
    unit = 2.0 ** np.round(np.log2(max(float(values.std()), 1e-30)))
    parts = ((values - means) / unit).astype(np.float32), matrix.indices, matrix.indptr
    deviations = sp.csr_matrix(parts, shape=matrix.shape)
    expected, _ = _held_out(deviations, RATINGS, lambda scores: scores, seed, "ratings", progress)
    predicted = means + unit * expected
    return predicted, np.abs(values - predicted)


def _held_out(
    matrix: Any,
    learning: Learning,
    read: Callable[[Tensor], Tensor],
    seed: int,
    what: str,
    progress: bool | None,
) -> tuple[np.ndarray, np.ndarray]:
    """`read` of the scores of each entry, and its mean over the users of the fold.

    Users are split into folds. A network trained on the other folds reads each row without a
    quarter of its entries, and scores those. (nnz,) float64 each.
    """
    n_users = matrix.shape[0]
    fold = numpy_generator(seed, Stream.RECONSTRUCTION_FOLDS).permutation(n_users) % FOLDS
    part = numpy_generator(seed, Stream.RECONSTRUCTION_PARTS).integers(PARTS, size=matrix.nnz)
    own, usual = np.zeros(matrix.nnz), np.zeros(matrix.nnz)
    with bar(FOLDS, f"reconstructing {what}", "fold", progress) as progress_bar:
        for number in range(FOLDS):
            net = _trained(matrix[fold != number], learning, seed)
            inside = np.flatnonzero(fold == number)
            for hidden in range(PARTS):
                total, at = np.zeros(matrix.shape[1]), []
                for entries, scores, sums in _read(net, matrix, inside, part == hidden, read):
                    own[entries] = scores
                    total += sums
                    at.append(entries)
                entries = np.concatenate(at)
                usual[entries] = total[matrix.indices[entries]] / len(inside)
            progress_bar.update()
    return own, usual


def _trained(matrix: Any, learning: Learning, seed: int) -> AutoencoderNet:
    """An autoencoder with one layer on each side, fitted for `epochs`, or for fewer where they
    would be more than UPDATES updates."""
    n_items = matrix.shape[1]
    net = AutoencoderNet(
        corrupt=Chain(UnitNorm(), Dropout(learning.dropout)),
        encoder=encoder_mlp(n_items, (LATENT,)),
        code=DeterministicCode(),
        decoder=Decoder(mlp(()), LinearHead(LATENT, n_items)),
    )
    loader = SparseLoader(matrix, None, learning.batch_size, seed)
    if not len(loader):
        return net.eval()
    epochs = max(1, min(learning.epochs, UPDATES // len(loader)))
    plan = Plan(
        epochs=epochs,
        lr=learning.lr,
        l2=learning.l2,
        metric="none",
        patience=epochs,
        optimiser="adam",
    )
    train(
        net,
        loader,
        Objective(learning.reconstruction),
        plan,
        seed=seed,
        device=torch.device("cpu"),
        progress=False,
    )
    return net.eval()


def _read(
    net: AutoencoderNet,
    matrix: Any,
    users: np.ndarray,
    hidden: np.ndarray,
    read: Callable[[Tensor], Tensor],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The hidden entries of these users, their scores, and the sum over the users, by batch."""
    for batch in row_batches(len(users), matrix.shape[1]):
        some = users[batch]
        theirs = matrix[some]
        rows = row_numbers(theirs.indptr)
        entries = np.arange(theirs.nnz) + (matrix.indptr[some] - theirs.indptr[:-1])[rows]
        gone = hidden[entries]
        ragged = Ragged.from_csr(theirs).where(torch.from_numpy(~gone))
        with torch.no_grad():
            scores = read(net(Batch(ragged, ragged))[0].dense()).double().numpy()
        asked = entries[gone]
        yield asked, scores[rows[gone], matrix.indices[asked]], scores.sum(axis=0)
