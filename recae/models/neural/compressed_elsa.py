"""CompressedELSA: ELSA with sparse item vectors, pruned while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recae import training
from recae.estimators.params import estimator, learnt, param
from recae.models.neural._base import NeuralRecommender
from recae.nn import (
    AutoencoderNet,
    DeterministicCode,
    NoCorruption,
    PrunedRows,
    TiedDecoder,
)
from recae.ranking.batches import RowScores
from recae.recommend.explain.parts import SUM, Padded, Parts, from_factors
from recae.recommend.saved import expect
from recae.recommend.weights import weighted


@estimator
class CompressedELSA(NeuralRecommender):
    """ELSA whose item vectors have few numbers other than zero: a model of some bytes an item.

    o = x A A' - x, where a row A_i has length one and `nonzeros` entries;
    loss = |o / |o| - x / |x||^2.

    In the first `pruning` share of the epochs the number of entries falls from `latent` to
    `nonzeros` by the same factor every epoch: of each row the largest by absolute value stay. With
    `rewind` they return to the values that they began with (a lottery ticket), else they keep their
    values. Validation measures the model with `nonzeros` entries in every epoch.

    Vancura, Kasalicky, Alves & Kordik, "Efficient Sparse Representations for Large-Scale
    Recommendation", WWW 2026, where it is as good as ELSA at a tenth of its size. Theirs also cuts
    the output off below zero. The saved model and the fitted one take 6 x nonzeros bytes an item.
    Training costs what ELSA of the same `latent` costs: 6 x users x items x latent operations an
    epoch, and some 10 x items x latent numbers of memory. Scores cost 2 x items x nonzeros
    operations a user.

    >>> model = recae.CompressedELSA(latent=4, nonzeros=2, epochs=5).fit(data)
    >>> (model.item_embeddings_ != 0).sum(axis=1).tolist()
    [2, 2, 2, 2]
    """

    name = "compressed-elsa"
    small = dict(latent=8, nonzeros=3, epochs=4, batch_size=10)
    uses_processes = False

    latent: int = param(
        "length of the item vectors", default=1024, low=1, high=1 << 15, usual=(256, 4096)
    )
    nonzeros: int = param(
        "entries of an item vector other than zero; at most `latent` are",
        default=64,
        low=1,
        usual=(8, 256),
    )
    pruning: float = param(
        "share of the epochs in which item vectors are pruned", default=0.5, low=0, high=0.9
    )
    rewind: bool = param(
        "whether entries return to their first values when others are pruned", default=True
    )
    epochs: int = param("passes over the training users, at most", default=20, low=1)
    lr: float = param("learning rate", default=0.1, above=0, usual=(1e-3, 0.3))
    optimiser: str = param(
        "how the weights are updated",
        default="nadam",
        choices=("adam", "nadam", "adagrad", "normalised-adam"),
    )

    values_: Tensor = learnt()
    dimensions_: Tensor = learnt()

    @property
    def _kept(self) -> int:
        """Numbers of an item vector that stay."""
        return min(self.nonzeros, self.latent)

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        encoder = PrunedRows(n_items, self.latent, self._kept)
        return AutoencoderNet(
            corrupt=NoCorruption(),
            encoder=encoder,
            code=DeterministicCode(),
            decoder=TiedDecoder(encoder),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("cosine")

    def kept(self, epoch: int) -> int:
        """Entries of an item vector in an epoch (from 1)."""
        pruned = int(self.pruning * self.epochs)  # epochs in which the number falls
        left = max(1 - (epoch - 1) / pruned, 0.0) if pruned else 0.0
        factor: float = (self.latent / self._kept) ** left
        return round(self._kept * factor)

    def _before_epoch(self, histories: Any) -> training.BeforeEpoch | None:
        def prune(net: Any, epoch: int) -> list[nn.Parameter]:
            kept, rows = self.kept(epoch), cast(PrunedRows, net.encoder)
            if kept == (self.kept(epoch - 1) if epoch > 1 else self.latent):
                return []
            rows.prune(kept, rewind=self.rewind)
            return [rows.weight]

        return prune

    def _start(self, histories: Any, run: training.Run) -> Callable[[Any], None] | None:
        def keep(net: Any) -> None:
            net.encoder.first = net.encoder.weight.detach().clone()

        return keep if self.rewind else None

    @property  # type: ignore[misc]
    def network_(self) -> AutoencoderNet:
        """The network with its item vectors as a dense matrix, made anew."""
        net = self._network(len(self.items_), 0).requires_grad_(False).eval()
        cast(PrunedRows, net.encoder).weight.copy_(torch.from_numpy(self._vectors().toarray()))
        return net

    @network_.setter
    def network_(self, net: AutoencoderNet) -> None:
        rows = cast(PrunedRows, net.eval().encoder).rows().detach().cpu()
        places = rows.abs().topk(self._kept, dim=1).indices.sort(dim=1).values
        self.values_, self.dimensions_ = rows.gather(1, places), places.short()

    def _vectors(self) -> Any:
        """A as a CSR (n_items, latent)."""
        n_items, width = self.values_.shape
        ends = np.arange(n_items + 1) * width
        parts = (
            self.values_.numpy().ravel(),
            self.dimensions_.numpy().ravel().astype(np.int32),
            ends,
        )
        return sp.csr_matrix(parts, shape=(n_items, self.latent))

    def _embed_rows(self, matrix: Any) -> Tensor:
        return self._codes(weighted(self, matrix, "input", "both"), self._vectors())

    def _codes(self, read: Any, vectors: Any) -> Tensor:
        return torch.from_numpy((read @ vectors).toarray().astype(np.float32))

    def _move(self, device: torch.device) -> bool:
        return False  # its vectors are sparse, and multiplied by scipy

    def _score_rows(self, matrix: Any) -> RowScores:
        read, vectors = weighted(self, matrix, "input", "both"), self._vectors()
        scores = np.ascontiguousarray((vectors @ self._codes(read, vectors).numpy().T).T)
        rows = np.repeat(np.arange(read.shape[0]), np.diff(read.indptr))
        scores[rows, read.indices] -= read.data
        return torch.from_numpy(scores)

    def _score_one(self, codes: np.ndarray) -> RowScores:
        cells = np.ones(len(codes), dtype=np.float32), codes.astype(np.int32), [0, len(codes)]
        return self._score_rows(sp.csr_matrix(cells, shape=(1, len(self.items_))))

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        read = weighted(self, matrix, "input", "both")
        some = Padded.of(read)
        vectors = self._item_vectors()
        found = from_factors(read, columns, vectors, vectors)
        same = some.items[:, :, None] == columns[:, None, :]
        return Parts.of(found - some.weighted(same), SUM)

    def _item_vectors(self) -> Tensor:
        return torch.from_numpy(self._vectors().toarray())

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"values": self.values_, "dimensions": self.dimensions_}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        shape = len(self.items_), self._kept
        self.values_ = expect(arrays["values"], *shape)
        self.dimensions_ = expect(arrays["dimensions"], *shape, dtype=torch.int16)
        if not bool((self.dimensions_.diff(dim=1) > 0).all()):
            raise ValueError("dimensions has an entry twice in a row, or entries out of order")
        if int(self.dimensions_.min()) < 0 or int(self.dimensions_.max()) >= self.latent:
            raise ValueError(f"dimensions has an entry outside of 0..{self.latent - 1}")
        self.epochs_ = []
