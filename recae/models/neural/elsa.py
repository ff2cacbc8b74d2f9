"""ELSA: EASE of low rank, for catalogues whose item-item matrix does not fit."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import Tensor

from recae import training
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender
from recae.nn import AutoencoderNet, DeterministicCode, NoCorruption, TiedDecoder, UnitRows
from recae.recommend.explain.parts import SUM, Padded, Parts, from_factors
from recae.recommend.weights import weighted


@estimator
class ELSA(NeuralRecommender):
    """A linear autoencoder through unit-length item vectors, which cannot copy its input.

    o = x A A' - x with rows |A_i| = 1, so that A A' - I has a zero diagonal;
    loss = |o / |o| - x / |x||^2.

    Vancura, Alves, Kasalicky & Kordik, "Scalable Linear Shallow Autoencoder for Collaborative
    Filtering", RecSys 2022. This follows the authors' torch code (their other one cuts the output
    off below zero). The loss is summed over items, not averaged, which makes no difference to
    NAdam. As good as EASE from some hundred dimensions on, without its item-item matrix: try it
    above 50,000 items. An epoch costs 6 x users x items x latent operations, or fewer; memory is
    some 10 x items x latent numbers in training, and items x latent after.

    >>> recae.ELSA(latent=2, epochs=5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "elsa"
    small = dict(latent=6, epochs=2, batch_size=10)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' reproduction of ML-20M.
        "paper": dict(latent=800, epochs=10, batch_size=32, lr=0.1, optimiser="nadam")
    }

    latent: int = param("length of the item vectors", default=256, low=1, usual=(64, 1024))
    epochs: int = param("passes over the training users, at most", default=20, low=1)
    lr: float = param("learning rate", default=0.1, above=0, usual=(1e-3, 0.3))
    optimiser: str = param(
        "how the weights are updated",
        default="nadam",
        choices=("adam", "nadam", "adagrad", "normalised-adam"),
    )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        encoder = UnitRows(n_items, self.latent)
        return AutoencoderNet(
            corrupt=NoCorruption(),
            encoder=encoder,
            code=DeterministicCode(),
            decoder=TiedDecoder(encoder),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("cosine")

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        read = weighted(self, matrix, "input", "both")
        vectors = self._item_vectors().cpu()
        found = from_factors(read, columns, vectors, vectors)
        some = Padded.of(read)
        same = some.items[:, :, None] == columns[:, None, :]
        return Parts.of(found - some.weighted(same), SUM)

    def _item_vectors(self) -> Tensor:
        return cast(UnitRows, self.network_.encoder).rows().detach()
