"""DiffRec and L-DiffRec: diffusion of histories by a little normal noise, and of their codes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.csr import column_counts
from recae.data.splits import Fold
from recae.errors import ConfigError
from recae.estimators.params import estimator, learnt, param
from recae.models.neural._base import NeuralRecommender, anneal_param, dropout_param
from recae.models.neural._svd_init import leading, normalised
from recae.nn import AutoencoderNet, Decoder, Dropout, InputLinear, LinearHead, mlp
from recae.nn.denoise import ClusterEncoder, NoisyCode, NoisyInput, NoisyRows, StepDecoder
from recae.nn.diffusion import GaussianSchedule
from recae.recommend.onnx.graph import Value, apply
from recae.recommend.onnx.histories import Histories
from recae.recommend.onnx.networks import array, cut, layer, scored
from recae.recommend.saved import expect
from recae.rng import Stream, numpy_generator, random_kept

FACTORS = 64
"""Singular vectors by which items are clustered."""

FIRST = 1e-5
"""The variance of the first step of DiffRec, fixed by its authors against overfitting."""

LEAST = 1e-12
"""The least variance of a step."""


@estimator
class GaussianDiffusion(NeuralRecommender):
    """A model that adds normal noise in steps and learns to remove it."""

    uses_processes: ClassVar[bool] = False
    first: ClassVar[float | None] = None

    steps: int = param("steps of noise", default=40, low=1, usual=(2, 100))
    noise_scale: float = param(
        "scale of the variances of the noise", default=0.005, above=0, usual=(1e-4, 0.5)
    )
    noise_min: float = param(
        "variance of the first step, before scaling", default=0.005, above=0, usual=(1e-4, 0.005)
    )
    noise_max: float = param(
        "variance of the last step, before scaling", default=0.01, above=0, usual=(0.005, 0.05)
    )
    waves: int = param("width of the embedding of a step", default=10, low=1)

    def check_params(self) -> None:
        """Checks that the noise can rise, and neither ends above 1 nor is lost in rounding."""
        super().check_params()
        if self.noise_min > self.noise_max or self.noise_scale * self.noise_max >= 1:
            raise ConfigError(
                f"noise_min of {type(self).__name__} must be at most noise_max, and noise_scale x "
                f"noise_max below 1, not {self.noise_min}, {self.noise_max} and {self.noise_scale}",
                parameter="noise_max",
                value=self.noise_max,
            )
        if self.noise_scale * self.noise_min < LEAST:
            raise ConfigError(
                f"noise_scale x noise_min of {type(self).__name__} must be at least {LEAST}, not "
                f"{self.noise_scale * self.noise_min}: less noise is lost in rounding",
                parameter="noise_min",
                value=self.noise_min,
            )

    def _schedule(self) -> GaussianSchedule:
        noise = self.noise_scale, self.noise_min, self.noise_max
        return GaussianSchedule.linear(self.steps, *noise, self.first)


@estimator
class DiffRec(GaussianDiffusion):
    """A diffusion model of whole histories.

    x_t = sqrt(a_t) x + sqrt(1 - a_t) e with normal e, f(x_t, t) = V h(x_t, t) + c with tanh layers;
    loss = w_t |x - f(dropout(x_t), t)|^2 / items with w_t = SNR_(t-1) - SNR_t, plus l2, for a step
    t drawn for each user. Scores are x_0 after all steps x_(t-1) = p_t f(x_t, t) + q_t x_t, from
    the history as the last x_t, without noise.

    Wang, Xu, Feng, Lin, He & Chua, "Diffusion Recommender Model", SIGIR 2023, as in the authors'
    code: there too histories enter the inference without noise, steps are drawn by the size of
    their losses, and 1 - a_0 is 1e-5. Their noise is so small that the model is nearly a denoising
    autoencoder under the squared error. All steps but the last are computed in the first hidden
    layer, so recommending costs 2 x items x width + steps x width^2 operations a user. An epoch
    costs 12 x users x items x width operations; memory is 2 x items x width weights, their
    gradients and moments, and some five dense matrices of batch_size x items.

    >>> recae.DiffRec(latent=2, hidden=(3,), steps=4, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "diff-rec"
    small = dict(latent=6, hidden=(12,), epochs=2, batch_size=10, lr=0.01, steps=4)
    small |= dict(noise_scale=1e-3)  # near `first`: the losses of the steps have like weights
    first = FIRST
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' checkpoint for MovieLens 1M, "clean".
        "paper": dict(epochs=1000, batch_size=400, patience=20, metric="recall@20")
    }

    hidden: tuple[int, ...] = param(
        "widths from the items to the middle layer, and back in reverse order",
        default=(600,),
        low=1,
        usual=(64, 1024),
    )
    dropout: float = dropout_param()

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """A network that predicts the history from a noisy one. The code shares the first layer and
        the head, so that it can go through the steps in the hidden layer."""
        widths = (*self.hidden, self.latent, *self.hidden[::-1])
        first, head = InputLinear(n_items, widths[0]), LinearHead(widths[-1], n_items)
        code = NoisyRows(self._schedule(), widths, self.waves)
        code.outside = [first, head]
        return AutoencoderNet(
            corrupt=NoisyInput(code, self.dropout),
            encoder=first,
            code=code,
            decoder=StepDecoder(head, code),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("squared")

    def _code_width(self) -> int:
        return (*self.hidden, self.latent)[0]

    def _onnx_scores(self, histories: Histories) -> Value:
        """The steps backwards, computed on the hidden layer: the scores over all items are needed
        only at the end."""
        net: Any = self.network_
        first, code = net.encoder, net.code
        with torch.no_grad():
            there, bias = array(code.back(first.weight)), array(first.bias)
            hidden = layer(first, histories.weighted(self, "input", "both"))
            product = hidden.graph.constant(there[:-1])
            for step, shift, p, q in code.backwards(code.shift):
                z = layer(code.layers, apply("Tanh", hidden + array(shift)))
                if step:
                    more = p * there[-1:] + (1 - q) * bias
                    hidden = (z @ product) * p + hidden * q + more
            return scored(net.decoder.head, z)


@estimator
class LDiffRec(GaussianDiffusion):
    """DiffRec in the codes of a variational autoencoder whose encoder reads clusters of items.

    z ~ N(mu(x), sigma(x)^2), z_t = sqrt(a_t) z + sqrt(1 - a_t) e, scores V f(z_t, t) + c;
    loss = -sum_i x_i log softmax(scores)_i + beta KL(q(z | x) || N(0, 1)) + weight w_t
    |z - f(z_t, t)|^2 / latent, plus l2. Each cluster of items has its own part of the code.

    Wang, Xu, Feng, Lin, He & Chua, "Diffusion Recommender Model", SIGIR 2023, section 3.3. Unlike
    the authors' code, k-means clusters items by their singular vectors (theirs: embeddings of a
    LightGCN), both parts learn at one rate (theirs: the denoiser at half of it), the target of the
    likelihood is the history before dropout, and `weight` is constant (theirs falls to a sixth over
    500 epochs). An epoch costs 6 x users x items x latent operations, a sixth of DiffRec's at their
    widths; memory is (1 + 2 / clusters) x items x latent weights, their gradients and moments, and
    one chunk of logits.

    >>> recae.LDiffRec(latent=4, width=3, steps=4, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "l-diff-rec"
    small = dict(latent=6, width=8, epochs=2, batch_size=10, lr=0.01, steps=4)
    small |= dict(noise_scale=0.5, noise_min=0.1, noise_max=0.5)  # losses of like weights
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' checkpoint for MovieLens 1M, "clean".
        "paper": dict(epochs=1000, batch_size=400, patience=20, metric="recall@20", anneal=0.004)
    }

    latent: int = param("width of the code", default=300, low=1, usual=(64, 512))
    clusters: int = param("clusters of items", default=2, low=1, usual=(1, 5))
    width: int = param("width of the denoiser", default=300, low=1, usual=(64, 512))
    noise_max: float = param(
        "variance of the last step, before scaling", default=0.02, above=0, usual=(0.005, 0.05)
    )
    dropout: float = param(
        "share of a history hidden from the encoder, the rest scaled up",
        default=0.1,
        low=0,
        high=0.99,
        usual=(0, 0.8),
    )
    code_dropout: float = param(
        "share of a noisy code hidden from the denoiser", default=0.5, low=0, high=0.99
    )
    beta: float = param("final weight of the KL term", default=0.3, low=0, usual=(0.01, 1))
    anneal: float = anneal_param(0.05)
    weight: float = param(
        "weight of the loss of the diffusion", default=0.03, low=0, usual=(0.005, 0.1)
    )

    clusters_: np.ndarray = learnt()

    def check_params(self) -> None:
        super().check_params()
        if self.clusters > self.latent:
            raise ConfigError(
                f"LDiffRec shares {self.latent} units of its code out to {self.clusters} clusters: "
                "lower clusters, or raise latent",
                parameter="clusters",
                value=self.clusters,
            )

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        self.clusters_ = clustered(data.binarised().matrix, self.clusters, run.seed)
        super()._fit(data, validation, run)

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """One encoder for each cluster of items, and the diffusion of their codes. A model that is
        being loaded has no clusters yet: any of that number will do."""
        clusters = getattr(self, "clusters_", None)
        if clusters is None:
            clusters = np.arange(n_items) % min(self.clusters, n_items)
        return AutoencoderNet(
            corrupt=Dropout(self.dropout),
            encoder=ClusterEncoder(clusters, self.latent),
            code=NoisyCode(
                self._schedule(), self.latent, self.width, self.waves, self.code_dropout
            ),
            decoder=Decoder(mlp(()), LinearHead(self.latent, n_items)),
        )

    def _objective(self, updates: int) -> training.Objective:
        beta = training.annealed(self.beta, self.anneal, updates)
        return training.Objective("multinomial", {"kl": beta, "diffusion": self.weight})

    def _onnx_scores(self, histories: Histories) -> Value:
        net: Any = self.network_
        read = histories.weighted(self, "input", "both")
        with torch.no_grad():
            hidden = apply("Tanh", read.bag(net.encoder.table()) + array(net.encoder.bias()))
            z, code = cut(hidden, 0, self.latent), net.code
            for _, shift, p, q in code.backwards(code.shift):
                found = layer(code.last, apply("Tanh", layer(code.first, z) + array(shift)))
                z = found * p + z * q
            return scored(net.decoder.head, z)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {**super()._arrays(), "clusters": torch.from_numpy(self.clusters_.copy())}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        clusters = expect(arrays["clusters"], len(self.items_), dtype=torch.int64).numpy()
        if clusters.min() < 0 or not np.bincount(clusters, minlength=1).all():
            raise ValueError("clusters has a number without an item")
        self.clusters_ = clusters
        super()._restore({name: value for name, value in arrays.items() if name != "clusters"})


def clustered(histories: Any, clusters: int, seed: int) -> np.ndarray:
    """The cluster of each item, (n_items,) int64, by k-means on singular vectors times values.

    The vectors are those of `normalised` histories, with d the roots of the item counts. histories:
    CSR of ones.
    """
    with random_kept():
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

    generator = numpy_generator(seed, Stream.ITEM_CLUSTERS)
    n_items = histories.shape[1]
    damping = (column_counts(histories).clip(1) ** -0.5).astype(np.float32)
    k = min(FACTORS, *histories.shape)
    s, v = leading(normalised(histories, damping), k, generator, progress=False)
    means = KMeans(min(clusters, n_items), n_init=3, random_state=int(generator.integers(1 << 31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct items than clusters
        labels = means.fit(v * s).labels_
    found: np.ndarray = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return found
