"""H+Vamp: a gated, hierarchical variational autoencoder with a VampPrior."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data.csr import column_counts
from recae.estimators.params import estimator, param
from recae.models.neural._base import (
    NeuralRecommender,
    alignment_param,
    anneal_param,
    dropout_param,
    precision_param,
)
from recae.nn import (
    AutoencoderNet,
    Chain,
    Decoder,
    Dropout,
    HierarchicalDecoder,
    HierarchicalEncoder,
    HierarchicalVamp,
    LinearHead,
    UnitNorm,
    mlp,
)


@estimator
class HVamp(NeuralRecommender):
    """A variational autoencoder with two levels of codes and a prior made of pseudo-users.

    z2 ~ q(z2 | x), z1 ~ q(z1 | x, z2), f = decoder(z1, z2), by default affine;
    loss = -log p(x | f) + beta KL(q(z1, z2 | x) || p(z2) p(z1 | z2)), plus l2, where
    p(z2) = 1/K sum_c q(z2 | u_c) with K learned inputs u_c, and all hidden layers are gated:
    (W x + a) sigma(V x + b). The paper has two in the decoder; they cost accuracy where users are
    few (docs/what-helps.md). Under the logistic likelihood the biases of the last layer start at
    the log-odds of the items, not at zero: otherwise most updates of a small data set only learn
    that most items are rare.

    Kim & Suh, "Enhancing VAEs for Collaborative Filtering: Flexible Priors & Gating Mechanisms",
    RecSys 2019, after Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018. Among the most
    accurate on dense data, and the most expensive. An epoch costs some 12 x users x items x latent
    operations for the last layer, and 12 x users x items x width x components / batch_size for the
    pseudo-inputs, which `precision` holds for too. The memory is (4 x width + 2 x latent +
    components) x items weights, their gradients and two moments. Where they differ, the authors'
    code is followed: a gated layer has no other activation. Unlike that code, both levels read one
    corrupted history, where it drops entries for each anew, and patience counts while beta still
    rises.

    >>> recae.HVamp(latent=2, width=3, components=4, epochs=2).fit(data).embed_users(data).shape
    (5, 4)
    """

    name = "h-vamp"
    small = dict(
        latent=4, width=12, components=6, decoder_depth=2, epochs=2, batch_size=10, lr=0.01
    )
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' command; beta rises for 100 epochs.
        "paper": dict(
            latent=200,
            width=600,
            components=1000,
            decoder_depth=2,
            epochs=400,
            patience=50,
            batch_size=200,
            lr=5e-4,
            optimiser="normalised-adam",
            beta=0.3,
            anneal=0.25,
            likelihood="logistic",
        )
    }

    width: int = param("width of the hidden layers", default=600, low=1, usual=(128, 1024))
    depth: int = param(
        "gated layers between the items and the upper code, and from it to the lower prior",
        default=2,
        low=2,
        high=100,
        usual=(2, 4),
    )
    decoder_depth: int = param(
        "gated layers of the decoder; 0: scores are affine in the codes",
        default=0,
        low=0,
        high=100,
        usual=(0, 2),
    )
    components: int = param("K: learned inputs of the prior", default=500, low=1, usual=(50, 1000))
    dropout: float = dropout_param()
    beta: float = param("final weight of the KL term", default=0.3, low=0, usual=(0.01, 1))
    anneal: float = anneal_param()
    alignment: float = alignment_param()
    likelihood: str = param(
        "of a history: one logistic decision for each item (the authors'), or softmax over them",
        default="logistic",
        choices=("multinomial", "logistic"),
    )
    precision: str = precision_param()

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """Two levels of latent variables with gated layers, under a Vamp prior whose pseudo-inputs
        pass through the same encoder."""
        encoder = HierarchicalEncoder(n_items, self.width, self.depth)
        code = HierarchicalVamp(
            encoder,
            n_items,
            width=self.width,
            latent=self.latent,
            depth=self.depth,
            components=self.components,
            dropout=self.dropout,
        )
        return AutoencoderNet(
            corrupt=Chain(UnitNorm(), Dropout(self.dropout)),
            encoder=encoder,
            code=code,
            decoder=self._decoder(n_items),
        )

    def _decoder(self, n_items: int) -> Decoder | HierarchicalDecoder:
        """From both codes to scores. The first hidden layer has the width of both, side by side."""
        depth, both = self.decoder_depth, 2 * self.latent
        if not depth:
            return Decoder(mlp((both,)), LinearHead(both, n_items))
        head = LinearHead(2 * self.width if depth == 1 else self.width, n_items)
        return HierarchicalDecoder(self.latent, self.width, depth, head)

    def _prepare(self, net: AutoencoderNet, histories: Any, device: torch.device) -> None:
        super()._prepare(net, histories, device)
        for module in net.modules():
            if isinstance(module, LinearHead) and self.likelihood == "logistic":
                module.start = log_odds(histories)

    def _code_width(self) -> int:
        return 2 * self.latent

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective(
            self.likelihood, {"kl": training.annealed(self.beta, self.anneal, updates)}
        )


def log_odds(histories: Any) -> Tensor:
    """log (n_i + 1/2) / (users - n_i + 1/2), n_i the number of users with item i: (n_items,)
    float32."""
    counts = column_counts(histories)
    odds = (counts + 0.5) / (histories.shape[0] - counts + 0.5)
    return torch.from_numpy(np.log(odds).astype(np.float32))
