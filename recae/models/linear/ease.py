"""EASE: the linear autoencoder in closed form."""

from __future__ import annotations

from typing import Any, ClassVar

from recae.estimators.params import estimator, param
from recae.models.linear._base import LinearRecommender


def _dan(a: float, b: float) -> dict[str, Any]:
    """The normalisation of DAN (Park et al., SIGIR 2025) with its alpha and beta."""
    return dict(user_power=b / 2, input_power=-a, output_power=a, noise="unweighted")


@estimator
class EASE(LinearRecommender):
    """A linear autoencoder that may not use an item to explain itself.

    B = argmin |X - X B|^2 + l2 |B|^2 subject to diag(B) = 0, which is, with P = (X'X + l2 I)^-1,
    B_ij = -P_ij / P_jj and B_jj = 0. The scores of a history x are x B.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8. Often the best
    single model up to some 50,000 items, with one hyperparameter. Costs items^3 operations and one
    item-item matrix, 8 items^2 bytes while fitting in float64 and 4 items^2 otherwise and after.
    With clearly fewer users than items it costs users^3 operations and 8 users^2 + 4 items^2 bytes
    of memory, in float64, by the identity of Woodbury. `weights_[i, j]` is how much item i in a
    history adds to the score of item j. Computes on a GPU where there is one and the matrix fits
    twice, else on the CPU.

    >>> recae.EASE(l2=1.0).fit(data).recommend(0)["item_id"].tolist()  # items 1 and 2 go together
    [2, 3]
    """

    name = "ease"
    small = dict(l2=4.5)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=800.0)
    }


@estimator
class EDLAE(LinearRecommender):
    """A linear denoising autoencoder that may not use an item to explain itself.

    B = argmin E |X - D(X) B|^2 + l2 |B|^2 subject to diag(B) = 0, where D drops entries with
    probability p = `dropout`: EASE with the ridge l2 + X'X_ii p / (1 - p) for item i, which is
    larger for popular items. The same B, without the constraint, is best for the errors of dropped
    entries alone. `kept_weight` is the weight b of the others: above 0 it multiplies column j of B
    by a number that grows with how well the other items predict item j (see the base class).

    Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020; b > 0 is DEQL, Guo
    et al., "Generalizing Linear Autoencoder Recommenders with Decoupled Expected Quadratic Loss",
    ICLR 2026, in our own derivation. A little better than EASE where both are tuned. Costs and
    memory are those of EASE.

    >>> recae.EDLAE(l2=1.0, dropout=0.5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "edlae"
    small = dict(l2=4.5, dropout=0.4)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=400.0, dropout=0.3)
    }

    dropout: float = param(
        "share of the interactions that are dropped", default=0.3, low=0, high=0.99, usual=(0, 0.8)
    )
    noise: str = param(
        "interactions that the ridge of the dropout adds up: as user_power weighs them in X'X, or "
        "unweighted, as in DAN",
        default="weighted",
        choices=("weighted", "unweighted"),
        usual=("weighted",),
        added=True,
    )
    kept_weight: float = param(
        "b: weight of the errors of entries that are kept, beside 1 of those that are dropped",
        default=0.0,
        low=0,
        high=1,
        usual=(0, 1),
        added=True,
    )
    xi = 1.0


@estimator
class RLAE(LinearRecommender):
    """A linear autoencoder that may use an item to explain itself, but only up to a bound.

    B = argmin |X - X B|^2 + l2 |B|^2 subject to diag(B) <= xi, which is I - P diag(c) with
    P = (X'X + l2 I)^-1 and c_j = max(l2, (1 - xi) / P_jj). xi = 0 is EASE, xi = 1 plain ridge
    regression.

    Moon, Kim & Lee, "It's Enough: Relaxing Diagonal Constraints in Linear Autoencoders for
    Recommendation", SIGIR 2023. (The authors' code then sets the diagonal to zero; that
    changes the scores of seen items only, and is not done here.) Costs and memory are those of
    EASE.

    >>> recae.RLAE(l2=1.0, xi=0.5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "rlae"
    small = dict(l2=4.5, xi=0.2)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=1000.0, xi=0.6)
    }

    xi: float = param("bound of the diagonal of B", default=0.5, low=0, high=1, usual=(0, 0.9))


@estimator
class RDLAE(EDLAE):
    """A linear denoising autoencoder that may use an item to explain itself up to a bound.

    B = argmin E |X - D(X) B|^2 + l2 |B|^2 subject to diag(B) <= xi, where D drops entries with
    probability p = `dropout`: I - P diag(c) with the ridge r_i = l2 + X'X_ii p / (1 - p) for item
    i, P = (X'X + diag(r))^-1 and c_j = max(r_j, (1 - xi) / P_jj). xi = 0 is EDLAE.

    Moon, Kim & Lee, "It's Enough: Relaxing Diagonal Constraints in Linear Autoencoders for
    Recommendation", SIGIR 2023, the diagonal kept as in RLAE. The most general of the linear
    family, with three hyperparameters to tune; recommends more rare items. Costs and memory are
    those of EASE.

    >>> recae.RDLAE(l2=1.0, dropout=0.5, xi=0.5).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "rdlae"
    small = dict(
        relative_l2=1.0, dropout=0.4, xi=0.2, kept_weight=0.8, user_power=0.2, output_power=0.1
    )
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, strong generalisation, the code of Moon, Kim & Lee (2023).
        "paper": dict(l2=1000.0, dropout=0.2, xi=0.6),
        # RLAE-DAN on the splits of LightGCN, its authors' code.
        "dan-gowalla": dict(l2=20.0, dropout=0.6, xi=0.1, **_dan(0.2, 0.3)),
        "dan-yelp2018": dict(l2=20.0, dropout=0.7, xi=0.1, **_dan(0.3, 0.3)),
        "dan-amazon-book": dict(l2=10.0, dropout=0.4, xi=0.3, **_dan(0.2, 0.2)),
    }

    kept_weight: float = param(
        "b: weight of the errors of entries that are kept, beside 1 of those that are dropped",
        default=1.0,
        low=0,
        high=1,
        added=True,
    )
    xi: float = param("bound of the diagonal of B", default=0.3, low=0, high=1, usual=(0, 0.9))
