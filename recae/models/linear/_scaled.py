"""What the linear autoencoders share: powers of the degrees, and the unit of the ridge."""

from __future__ import annotations

from recae.data import Interactions
from recae.data.scaled import Doubles, Rows
from recae.estimators.params import estimator, param
from recae.recommend.base import Recommender
from recae.recommend.weights import weight_transform_param, weighted, weights_param


@estimator
class ScaledRecommender(Recommender):
    """A matrix B that is solved for on scaled data, and is scaled itself; scores are x W.

    With the degrees n of users and items, B is the solution for D_U^-u X D_I^-v, and
    W = D_I^-(v + s) B D_I^(v - t), or W_ij = B_ij (n_j / n_i)^v n_i^-s n_j^-t.
    """

    l2: float = param("ridge; grows with the density of the data, tune it", default=200.0, above=0)
    relative_l2: float = param(
        "the ridge in means of the diagonal of X'X, in place of l2; 0: l2",
        default=0.0,
        low=0,
        usual=(0.1, 30),
        added=True,
    )
    weights: str = weights_param()
    weight_transform: str = weight_transform_param()
    user_power: float = param(
        "u: a user with n items has the weight n^(-2u)", default=0.0, low=0, high=1, usual=(0, 0.5)
    )
    item_power: float = param(
        "v: from 0, the same ridge for all items, to 0.5, one proportional to their degrees; l2 "
        "shrinks with it",
        default=0.0,
        low=0,
        high=1,
        usual=(0, 0.5),
    )
    input_power: float = param(
        "s: an item of a history that n users have counts n^-s",
        default=0.0,
        low=-1,
        high=1,
        added=True,
    )
    output_power: float = param(
        "t: the score of an item that n users have is multiplied by n^-t; above 0 favours rare "
        "items",
        default=0.0,
        low=-1,
        high=1,
        usual=(0, 0.5),
        added=True,
    )

    def _scaled(self, data: Interactions) -> Rows:
        """X, scaled."""
        return Rows.scaled(
            data.matrix,
            lambda part: weighted(self, part, "both"),
            self.user_power,
            self.item_power,
            bool(self.input_power or self.output_power),
        )

    def _l2(self, squares: Doubles) -> float:
        """The ridge, from the diagonal of X'X."""
        mean = float(squares.mean())
        return self.relative_l2 * mean if self.relative_l2 and mean else self.l2

    def _degree_factors(self, rows: Rows) -> tuple[Doubles | None, Doubles | None]:
        """What the rows and the columns of B are multiplied by, (n_items,) each; None for ones."""
        if rows.degrees is None:
            return None, None
        before, after = self.item_power + self.input_power, self.item_power - self.output_power
        return (
            rows.degrees**-before if before else None,
            rows.degrees**after if after else None,
        )
