"""RecVAE: Mult-VAE with a deeper encoder, a composite prior and alternating training."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from recae import training
from recae.errors import ConfigError, TrainingError
from recae.estimators.params import estimator, param
from recae.models.neural._base import (
    NeuralRecommender,
    alignment_param,
    dropout_param,
    num_sampled_param,
    precision_param,
    softmax_param,
)
from recae.nn import (
    AutoencoderNet,
    Batch,
    Chain,
    CompositeGaussian,
    Decoder,
    DenselyConnected,
    Dropout,
    InputLinear,
    LinearHead,
    Posterior,
    UnitNorm,
    mlp,
    remember,
)

COLUMNS = 64
"""Columns of the embeddings multiplied at a time: a product by X takes users x 64 float64."""


def implicit_slim(
    embeddings: np.ndarray, matrix: Any, l2: float, alpha: float, threshold: int
) -> np.ndarray:
    """Embeddings smoothed over the neighbours of the items, close to the given ones: (n_items,
    width).

    With G = X'X and D = diag(1 / (G_ii + l2)), SLIM without its sparsity has the closed form
    B = I - (G + l2 I)^-1 diag((G + l2 I)^-1)^-1. The diagonal of the inverse is approximated by D.
    Locally linear embedding asks of embeddings F that F = B'F. With A the given embeddings E, the
    rows of items with fewer than `threshold` interactions set to zero, the result minimises

        |(I - B)' F|^2 + alpha |A' (F - E)|^2,

    which is F = alpha ((I - B)(I - B)' + alpha A A')^-1 A A' E, and by Woodbury's identity

        F = K A (I / alpha + A' K A)^-1 A' A with K = (G + l2 I) D^2 (G + l2 I),

    because (I - B)(I - B)' = K^-1, and A'E = A'A. Items below the threshold get embeddings too.

    embeddings: E (n_items, width) float32; matrix: X (users, n_items), CSR of ones; l2, alpha: > 0.
    Computed in float64, returned as float32. Costs 8 x interactions x width operations, some
    6 x n_items x width^2, and memory for 5 x n_items x width numbers; nothing is n_items x n_items.
    Raises TrainingError if the result is no longer numbers.

    Shenbin & Nikolenko, "ImplicitSLIM and How it Improves Embedding-based Collaborative Filtering",
    ICLR 2024. In the authors' code A is rounded to float16.
    """
    counts = matrix.getnnz(axis=0)  # (n_items,), the diagonal of G
    kept = np.where((counts >= threshold)[:, None], embeddings, 0).astype(np.float64)  # A
    # Which flags a product of inf or nan sets depends on the processor: the result is checked.
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = _gram(matrix, kept, l2) / ((counts + l2) ** 2)[:, None]
        spread = _gram(matrix, scaled, l2)  # K A
        inner = kept.T @ spread  # (width, width), symmetric but for rounding
        inner = (inner + inner.T) / 2 + np.eye(len(inner)) / alpha
        try:
            factor = scipy.linalg.cho_factor(inner)
            smoothed = spread @ scipy.linalg.cho_solve(factor, kept.T @ kept)
        except (np.linalg.LinAlgError, ValueError):  # not positive, or not finite
            smoothed = np.full_like(spread, np.nan)
        found: np.ndarray = smoothed.astype(np.float32)
    if not np.isfinite(found).all():
        raise TrainingError(
            f"the embeddings smoothed with alpha={alpha} and l2={l2} are no longer numbers: lower "
            "alpha or raise l2"
        )
    return found


def _gram(matrix: Any, table: np.ndarray, l2: float) -> np.ndarray:
    """(X'X + l2 I) table, (n_items, width), some columns at a time."""
    out = l2 * table
    for start in range(0, table.shape[1], COLUMNS):
        some = slice(start, start + COLUMNS)
        out[:, some] += matrix.T @ (matrix @ np.ascontiguousarray(table[:, some]))
    return out


EPS = 0.1
"""Added to the variance in layer normalisation; the authors' value, far above the usual 1e-5."""


@estimator
class RecVAE(NeuralRecommender):
    """A variational autoencoder with a composite prior and alternating training.

    z ~ N(mu(x), sigma(x)^2), f = W z + b;
    loss = -sum_i x_i log softmax(f)_i + gamma |x| (log q(z | x) - log p(z | x)), plus l2, where p
    mixes N(0, 1) (3/20), N(0, e^10) (1/10) and the posterior of the encoder as it was a round ago
    (3/4), and |x| is the length of the history. In a round the encoder learns for
    `encoder_epochs` epochs from corrupted histories, then the decoder for one from the originals.

    Shenbin, Alekseev, Tutubalina, Malykh & Nikolenko, "RecVAE: a New Variational Autoencoder for
    Top-N Recommendations with Implicit Feedback", WSDM 2020. This follows the authors' master
    branch, where the old posterior is that of an old encoder. In the first round it is the initial
    encoder; theirs is another random draw. Better than Mult-VAE on dense data, for about the same
    time. An epoch costs 6 x users x items x latent operations for the decoder and half for the
    encoder; memory is 3 x items x width weights, their gradients and moments.

    With `slim_every`, ImplicitSLIM (Shenbin & Nikolenko, ICLR 2024; `implicit_slim`) overwrites the
    item rows of the first and the last layer, and resets their moments. Each time costs 8 x
    interactions x (width + latent) operations on the CPU. Interactions count 1 in it. Its l2 and
    threshold grow with the data and must be tuned: wrong ones cost accuracy.

    >>> recae.RecVAE(latent=2, width=3, epochs=4).fit(data).score(data).shape
    (5, 4)
    """

    name = "rec-vae"
    small = dict(latent=8, width=16, depth=3, epochs=4, batch_size=10, lr=0.01)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, the authors' code: 50 rounds of three epochs and one.
        "paper": dict(
            latent=200, width=600, depth=5, epochs=200, batch_size=500, lr=5e-4, gamma=0.005
        ),
        # ML-20M, the authors' code: 100 rounds, none of them left out, and a smoothing every tenth.
        "implicit-slim": dict(
            latent=400,
            width=600,
            depth=5,
            epochs=400,
            patience=400,
            batch_size=500,
            lr=5e-4,
            gamma=0.004,
            slim_every=10,
            slim_l2=500.0,
            slim_alpha=1.0,
            slim_threshold=1000,
        ),
    }

    softmax: str = softmax_param()
    num_sampled: int = num_sampled_param()
    precision: str = precision_param()
    patience: int = param("epochs without a new best before training stops", default=20, low=1)
    width: int = param("width of the encoder's layers", default=600, low=1, usual=(128, 1024))
    depth: int = param("layers of the encoder", default=5, low=1, high=100, usual=(1, 6))
    dropout: float = dropout_param()
    gamma: float = param(
        "weight of the KL term per interaction", default=0.005, low=0, usual=(0.001, 0.02)
    )
    alignment: float = alignment_param()
    encoder_epochs: int = param(
        "epochs of the encoder for one of the decoder", default=3, low=1, usual=(1, 5)
    )
    slim_every: int = param(
        "rounds from one smoothing of the item rows by ImplicitSLIM to the next; 0: none",
        default=0,
        low=0,
        usual=(0, 10),
    )
    slim_l2: float = param(
        "l2 of the item-item model behind it", default=500.0, above=0, usual=(20, 1000)
    )
    slim_alpha: float = param(
        "weight of the distance to the previous rows", default=1.0, above=0, usual=(0.1, 10)
    )
    slim_threshold: int = param(
        "items with fewer interactions are smoothed without regard to their own rows",
        default=0,
        low=0,
        usual=(0, 50),
    )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """The encoder, and a second one of the same shape that holds its earlier weights for the
        composite prior."""

        def encoder() -> DenselyConnected:
            return DenselyConnected(InputLinear(n_items, self.width), self.width, self.depth, EPS)

        old = Posterior(UnitNorm(), encoder(), self.width, self.latent)
        return AutoencoderNet(
            corrupt=Chain(UnitNorm(), Dropout(self.dropout)),
            encoder=encoder(),
            code=CompositeGaussian(self.width, self.latent, old),
            decoder=Decoder(mlp(()), LinearHead(self.latent, n_items)),
        )

    def _objective(self, updates: int) -> training.Objective:
        def weight(batch: Batch, step: int) -> Tensor:
            lengths: Tensor = self.gamma * batch.target_sums()  # (rows,)
            return lengths

        return training.Objective("multinomial", {"kl": weight})

    def _phases(self) -> tuple[training.Phase, ...]:
        return (
            training.Phase(self.encoder_epochs, ("encoder", "code", "anchors"), start=remember),
            training.Phase(1, ("decoder",), corrupt=False),
        )

    def _before_epoch(self, histories: Any) -> training.BeforeEpoch | None:
        """The hook of ImplicitSLIM, or None without it. Raises ConfigError if no item has
        `slim_threshold` interactions."""
        if not self.slim_every:
            return None
        most = int(histories.getnnz(axis=0).max())
        if most < self.slim_threshold:
            raise ConfigError(
                f"slim_threshold of RecVAE is {self.slim_threshold:,}, but no item has more than "
                f"{most:,} interactions: lower it",
                parameter="slim_threshold",
                value=self.slim_threshold,
            )

        def smooth(net: Any, epoch: int) -> list[nn.Parameter]:
            """Smooths the item tables of encoder and decoder before the encoder's epochs of every
            `slim_every`-th round; returns the tables, whose moments start again."""
            # The prior holds a copy of the earlier encoder, made at the start of the phase.
            finished, place = divmod(epoch - 1, self.encoder_epochs + 1)
            if place or (finished + 1) % self.slim_every:
                return []
            tables = [net.encoder.layers[0].weight, net.decoder.head.weight]
            for table in tables:
                smoothed = implicit_slim(
                    table.detach().cpu().numpy(),
                    histories,
                    self.slim_l2,
                    self.slim_alpha,
                    self.slim_threshold,
                )
                table.data.copy_(torch.from_numpy(smoothed))
            return tables

        return smooth
