"""GraphFilter: closed-form filters of the spectrum of the normalised item-item matrix."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import scipy.sparse as sp
import torch
from numpy.polynomial import Polynomial, chebyshev
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.scaled import Doubles, Rows
from recae.data.splits import Fold
from recae.data.svd import Products, truncated_svd
from recae.errors import ConfigError, TrainingError
from recae.estimators.params import estimator, learnt, param
from recae.estimators.reuse import reused
from recae.models.spectral._graph_scores import GraphScores, ItemUsers
from recae.nn.products import FactoredScores
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import SUM, Padded, Parts, from_factors
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import csr_from_arrays, csr_to_arrays, expect
from recae.recommend.sparse import summed
from recae.recommend.weights import weight_transform_param, weighted, weights_param

FEW = 4096
"""Items up to which all weights are held, 64 MiB, while a model is used."""

ORDER = 8
"""Of the polynomial that ChebyCF interpolates its plateau with."""


@estimator
class GraphFilter(Recommender):
    """Histories smoothed by a function of the normalised item-item matrix, in closed form.

    With the degrees n of users and items, Z = D_U^-u X D_I^-v, S = Z'Z, and V and s the `latent`
    leading singular vectors and values of Z, the scores of a history x are

        x D^-s_in [ V h(s^2) V' + t (S - V s^2 V') ] D^-s_out  +  g x D^-q V_c V_c' D^q

    The response h is exact for the leading directions; all others share the slope
    t = h(e) / e at e = s_latent^2 / 2. The second term is an ideal low-pass of the `cut` leading
    directions V_c with the gain g = `low_pass`; without `low_pass_power` q its scaling is that of
    the first term. As functions of an eigenvalue e of S:

    - ridge: h = l e / (l + e), with l = `ridge` means of the diagonal of S: the linear autoencoder
      of a heavy ridge. The default, which wants to be tuned: untuned it stays below the presets on
      Gowalla;
    - linear: h = e (GF-CF: Shen et al., CIKM 2021);
    - plateau: 1/2 + 1/2 y^p for y = 2 e - 1 > 0, else 1/2 - 1/2 (-y)^p, by its Chebyshev
      interpolation of order 8 (ChebyCF: Kim et al., SIGIR 2025), p = `shape`;
    - sharpened: h = e q(e) with q(e) = 1 - T e + (T e)^2 / 2 - (T e)^3 / 6 + (T e)^4 / 24, one
      Runge-Kutta step of length T = `shape` of dr/dt = -r S, which follows the low-pass too (BSPM:
      Choi et al., SIGIR 2023).

    Inductive: any history has scores, without a refit. No item x item matrix: one truncated SVD
    and the sparse Z, which the model keeps, without user ids, for its term t S. Costs some
    100 x interactions x latent + 40 x min(users, items) x latent^2 operations and memory for
    7 x (users + items) x latent numbers; a history costs 2 x items x latent operations, and the
    interactions of the users of its items. One decomposition serves all trials of a search. Finds
    the vectors on a GPU where there is one; recommends on the CPU.

    >>> recae.GraphFilter(latent=2).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "graph-filter"
    small = dict(latent=6, cut=3, ridge=2.0)
    uses_device = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' settings, for Gowalla.
        "gf-cf": dict(
            latent=256,
            response="linear",
            user_power=0.5,
            output_power=0.0,
            low_pass=0.3,
            cut=256,
            low_pass_power=0.5,
        ),
        "bspm": dict(
            latent=1000,
            response="sharpened",
            shape=2.5,
            user_power=0.5,
            output_power=0.0,
            low_pass=0.2,
            cut=448,
            low_pass_power=0.5,
        ),
        "cheby-cf": dict(
            latent=1000,
            response="plateau",
            shape=1.5,
            user_power=0.5,
            input_power=0.4,
            output_power=-0.4,
            low_pass=0.2,
            cut=512,
        ),
    }

    latent: int = param("number of singular vectors", default=500, low=1)
    response: str = param(
        "what the filter makes of an eigenvalue, see above",
        default="ridge",
        choices=("ridge", "linear", "plateau", "sharpened"),
        usual=("ridge",),
    )
    ridge: float = param(
        "of the response ridge, in means of the diagonal of S",
        default=10.0,
        above=0,
        usual=(0.3, 100),
    )
    shape: float = param(
        "of the responses plateau (the exponent p) and sharpened (the time T)",
        default=1.5,
        above=0,
    )
    low_pass: float = param(
        "g: gain of the ideal low-pass; 0 leaves it out", default=0.5, low=0, usual=(0.03, 3)
    )
    cut: int = param(
        "directions of the low-pass, at most `latent`", default=250, low=1, usual=(16, 1000)
    )
    low_pass_power: float | None = param(
        "q: the scaling of the low-pass; None: that of the rest", default=None, low=-1, high=1
    )
    user_power: float = param(
        "u: a user of n items has the weight n^(-2u)", default=0.25, low=0, high=1
    )
    item_power: float = param(
        "v: from 0, where popular items lead the spectrum, to 0.5, where all weigh alike",
        default=0.5,
        low=0,
        high=1,
    )
    input_power: float = param(
        "s_in: an item of a history that n users have counts n^-s_in", default=0.0, low=-1, high=1
    )
    output_power: float = param(
        "s_out: the score of an item that n users have is multiplied by n^-s_out; above 0 favours "
        "rare items",
        default=-0.25,
        low=-1,
        high=1,
        usual=(-0.5, 0.2),
    )
    weights: str = weights_param()
    weight_transform: str = weight_transform_param()

    input_factors_: np.ndarray = learnt()
    item_factors_: np.ndarray = learnt()
    graph_: Any = learnt()
    graph_scales_: np.ndarray = learnt()
    _turned = cast(Any, None)  # Z', computed when it is first needed
    _small = cast(Any, None)  # likewise, see `_table`

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite is an error
    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Applies the filter's response to the eigenvalues that were found, and a straight line to
        all that were not, so that the graph itself is applied as sparse products."""
        rows = Rows.scaled(
            data.matrix,
            lambda part: weighted(self, part, "both"),
            self.user_power,
            self.item_power,
            degrees=True,
        )
        s, v = self._decomposed(rows, data, run)
        assert rows.degrees is not None
        response = self._response(rows)
        e = s**2
        e_rest = max(float(e[-1]) / 2, 1e-6 * float(e[0])) or 1.0
        slope = float(response(np.array([e_rest]))[0]) / e_rest
        before = rows.degrees[:, None] ** -self.input_power
        after = rows.degrees[:, None] ** -self.output_power
        gains = response(e) - slope * e  # (latent,)
        cut, rest = self._widths()
        left, right = [], []
        if cut:
            q = self.input_power if self.low_pass_power is None else self.low_pass_power
            r = -self.output_power if self.low_pass_power is None else self.low_pass_power
            left.append(self.low_pass * v[:, :cut] * rows.degrees[:, None] ** -q)
            right.append(self._sharpened(rows, v[:, :cut] * rows.degrees[:, None] ** r))
        else:
            gains[: self.cut] += self.low_pass
        if rest:
            left.append(v * gains * before)
            right.append(v * after)
        self.input_factors_, self.item_factors_ = (
            np.ascontiguousarray(np.hstack(parts), dtype=np.float32) for parts in (left, right)
        )
        self.graph_ = sp.csr_matrix(sp.vstack([part.astype(np.float32) for part in rows]))
        self.graph_.sort_indices()
        self.graph_scales_ = np.hstack([before * slope, after]).T.astype(np.float32)
        learnt = self.input_factors_, self.item_factors_, self.graph_.data, self.graph_scales_
        if not all(np.isfinite(part).all() for part in learnt):
            raise TrainingError(
                "the filter is too large for float32: set weight_transform='log1p', or scale the "
                "weights of interactions down",
                parameter="weights",
                value=self.weights,
            )
        self._turned = self._small = None

    def _widths(self) -> tuple[int, int]:
        """Columns of the factors: of a low-pass that is not part of the first term, and of that."""
        own = self.low_pass_power is not None or self.response in ("linear", "sharpened")
        cut = min(self.cut, self.latent) if own and self.low_pass else 0
        return cut, 0 if cut and self.response == "linear" else self.latent

    def _decomposed(
        self, rows: Rows, data: Interactions, run: training.Run
    ) -> tuple[Doubles, Doubles]:
        """s (latent,) and V (n_items, latent) of Z; trials of a search share them."""
        key = self.latent, self.user_power, self.item_power, self.weights, self.weight_transform
        compute = partial(
            truncated_svd, rows, self.latent, device=run.device, progress=run.progress
        )
        _, s, v = reused("svd", data, key, compute)
        return s.astype(np.float64), v.astype(np.float64)

    def _response(self, rows: Rows) -> Any:
        """h: eigenvalues (k,) -> (k,)."""
        if self.response == "linear":
            return np.array
        if self.response == "sharpened":
            step = runge_kutta(self.shape)
            return lambda e: e * step(e)
        if self.response == "plateau":
            y = chebyshev.chebpts1(ORDER + 1)
            plateau = (1 + np.sign(y) * np.abs(y) ** self.shape) / 2
            fitted = chebyshev.Chebyshev.fit(y, plateau, ORDER, domain=[-1, 1])
            return lambda e: fitted(np.minimum(2 * e - 1, 1)) - fitted(-1)
        l2 = self.ridge * float(rows.squares().mean())
        return lambda e: l2 * e / (l2 + e)

    def _sharpened(self, rows: Rows, factors: Doubles) -> Doubles:
        """q(S) F of the response sharpened, and F of the others: (n_items, cut)."""
        if self.response != "sharpened":
            return factors
        products = Products.of(rows, torch.float32)
        begun = torch.from_numpy(factors.astype(np.float32))
        found, *rest = reversed([float(c) * begun for c in runge_kutta(self.shape).coef])
        for term in rest:  # Horner's rule
            found = products.transposed(products.image(found)) + term
        return found.numpy().astype(np.float64)

    def _score_rows(self, matrix: Any) -> GraphScores | Tensor:
        histories = weighted(self, matrix, "both")
        used = self.weights == "both"
        if len(self.items_) <= FEW:
            return summed(histories, self._table(), used)
        codes = summed(histories, tensor_of(self.input_factors_), used)
        factored = FactoredScores(codes, self._item_vectors())
        items = ItemUsers(self._item_users(), tensor_of(self.graph_scales_[1]))
        return GraphScores(factored, self._shares(histories), items)

    def _table(self) -> Tensor:
        """What items of a history add to scores, (n_items, n_items), of few items: it is smaller
        than what their users have."""
        if self._small is None:
            before, after = self.graph_scales_
            rest = (sp.diags(before) @ (self.graph_.T @ self.graph_) @ sp.diags(after)).toarray()
            factors = tensor_of(self.input_factors_) @ self._item_vectors().T
            self._small = factors.add_(torch.from_numpy(rest.astype(np.float32)))
        return cast(Tensor, self._small)

    def _shares(self, histories: Any) -> Any:
        """x D^-s_in t Z', of each user that shares items with the history, (rows, n_users)."""
        scaled = histories.multiply(self.graph_scales_[0][None]).tocsr()
        return sp.csr_matrix(scaled @ self._item_users())

    def _item_users(self) -> Any:
        """Z', CSR (n_items, n_users)."""
        if self._turned is None:
            self._turned = sp.csr_matrix(self.graph_.T)
        return self._turned

    def _item_vectors(self) -> Tensor:
        return tensor_of(self.item_factors_)

    def _onnx_scores(self, histories: Histories) -> Value:
        if len(self.items_) > FEW:
            raise ConfigError(
                f"ONNX has no products of sparse matrices, which a GraphFilter of more than {FEW:,}"
                f" items needs, and this one has {len(self.items_):,}: save it with save(), or "
                "export its lists with export()"
            )
        return histories.weighted(self, "both").bag(self._table().numpy())

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """The scores of histories of one item each."""
        ones = np.ones(len(codes), dtype=np.float32), codes, np.arange(len(codes) + 1)
        found = self._score_rows(sp.csr_matrix(ones, shape=(len(codes), len(self.items_))))
        return found if isinstance(found, Tensor) else found.dense()

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """The shares of the factors and of the graph, added up; the graph's are computed only for
        the items that were asked for."""
        histories = weighted(self, matrix, "both")
        factors = tensor_of(self.input_factors_), tensor_of(self.item_factors_)
        found = from_factors(histories, columns, *factors)
        some = Padded.of(histories)
        for row, wanted in enumerate(columns):  # of what was asked for, not of all users
            entries = some.filled[row].nonzero()[:, 0]
            items = some.items[row, entries].numpy()
            ones = np.ones(len(items), dtype=np.float32), items, np.arange(len(items) + 1)
            shares = self._shares(sp.csr_matrix(ones, shape=(len(items), len(self.items_))))
            chosen = wanted.numpy()
            table = (shares @ self.graph_[:, chosen]).toarray() * self.graph_scales_[1, chosen]
            added = torch.from_numpy(table).double()
            found[row, entries] += added * some.values[row, entries][:, None]
        return Parts.of(found, SUM)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {
            "input_factors": tensor_of(self.input_factors_),
            "item_factors": tensor_of(self.item_factors_),
            "graph_scales": tensor_of(self.graph_scales_),
            **csr_to_arrays("graph", self.graph_),
        }

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n, width = len(self.items_), sum(self._widths())
        self.input_factors_ = expect(arrays["input_factors"], n, width).numpy()
        self.item_factors_ = expect(arrays["item_factors"], n, width).numpy()
        self.graph_scales_ = expect(arrays["graph_scales"], 2, n).numpy()
        users = len(arrays["graph.indptr"]) - 1
        self.graph_ = csr_from_arrays("graph", arrays, (users, n))
        self._turned = self._small = None


def runge_kutta(time: float) -> Polynomial:
    """One step of the method of order 4 for dr/dt = -r e from r = 1, as a polynomial of e."""
    return Polynomial([1, -time, time**2 / 2, -(time**3) / 6, time**4 / 24])
