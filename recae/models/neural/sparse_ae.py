"""SparseAE: an autoencoder with a sparse code; few units are active for each user."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor

from recae import training
from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender, loss_param
from recae.models.neural._explain import given_the_units
from recae.nn import (
    AutoencoderNet,
    Decoder,
    InputLinear,
    KLSparseCode,
    L1Code,
    TopUnits,
    UnitHead,
    UnitNorm,
    mlp,
)
from recae.recommend.explain.parts import Padded, Parts


@estimator
class SparseAE(NeuralRecommender):
    """An autoencoder with one hidden layer; few of its units are active for a user.

    h = V x / |x| + a, z = sparse(h), f(x) = 10 sum_j z_j w_j + b with every |w_j| = 1;
    loss = -sum_i x_i log softmax(f(x))_i, or another, plus beta x penalty(z), plus l2.

    l1: z = max(h, 0), penalty |z|; units at zero are exactly zero, as many as beta makes.
    top-k: z keeps the `active` largest of h and has no penalty (Makhzani & Frey, "k-Sparse
    Autoencoders", ICLR 2014, here without tied weights). kl: z = sigma(h), shifted, penalty
    sum_j KL(rate || mean of z_j over the batch) (Ng, "Sparse autoencoder", lecture notes of CS294A,
    2011); units come near zero, never to it. The sparser the code, the worse the recommendations:
    l1 and kl were better than top-k on the bundled MovieLens, and a smaller beta than a larger.

    The code is interpretable: a unit of z, given by `embed_users`, is a taste that a user has or
    lacks. The items of unit j have the largest `item_embeddings_[:, j]`. l1 gives the clearest
    units. Units may die: a unit that is active for no user stays inactive. An epoch costs about 6 x
    users x items x latent operations. The memory is 2 x items x latent weights, their gradients and
    two moments, the item vectors scaled to unit norm, and one chunk of logits. Raises ConfigError
    if more units shall stay than there are.

    >>> model = recae.SparseAE(sparsity="top-k", latent=6, active=2, epochs=2).fit(data)
    >>> (model.embed_users(data) != 0).sum(axis=1)
    array([2, 2, 2, 2, 2])
    """

    name = "sparse-ae"
    small = dict(sparsity="top-k", latent=8, active=3, epochs=2, batch_size=10, lr=0.01)

    lr: float = param("learning rate", default=3e-3, above=0, usual=(1e-4, 1e-2))
    sparsity: str = param("what makes z sparse", default="l1", choices=("l1", "top-k", "kl"))
    active: int = param(
        "top-k: units that stay, at most `latent`", default=50, low=1, usual=(10, 100)
    )
    beta: float = param("l1, kl: weight of the penalty", default=1.0, low=0, usual=(0.1, 3))
    rate: float = param(
        "kl: mean of a unit over the users", default=0.05, above=0, high=0.5, usual=(0.01, 0.2)
    )
    loss: str = loss_param()

    def check_params(self) -> None:
        super().check_params()
        if self.sparsity == "top-k" and self.active > self.latent:
            raise ConfigError(
                f"active={self.active} is more than latent={self.latent}: lower active or raise "
                "latent",
                parameter="active",
                value=self.active,
            )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        codes = {"l1": L1Code(), "top-k": TopUnits(self.active), "kl": KLSparseCode(self.rate)}
        return AutoencoderNet(
            corrupt=UnitNorm(),
            encoder=InputLinear(n_items, self.latent),
            code=codes[self.sparsity],
            decoder=Decoder(mlp(()), UnitHead(self.latent, n_items)),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective(self.loss, {"sparsity": self.beta})

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        if self.sparsity != "top-k":  # which jumps where another unit becomes one of the largest
            return super()._explain_rows(matrix, columns)
        batch = self._batch(self.network_, matrix)
        return given_the_units(self.network_, batch, Padded.of(matrix), columns)

    def _item_vectors(self) -> Tensor:
        return cast(UnitHead, cast(Decoder, self.network_.decoder).head).atoms().detach()
