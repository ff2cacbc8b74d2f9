"""The baselines of fake_profiles: detectors of scikit-learn, and two of the literature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.apply.anomaly import Profiles
from recae.data.csr import row_numbers

LATENT = 32
"""Components of the rating matrix: as many as the latent units of our networks."""


def baselines(found: Profiles, seed: int) -> dict[str, np.ndarray]:
    """The score of every user by each detector, (n_users,) each, higher is more suspicious.

    The detectors use the rating matrix (deviations from item means), the features of
    `detect_profiles` (the distance of a user from the median in spreads, for each kind of evidence,
    and the logarithm of the number of ratings), and the classic features (RDMA, WDMA, DegSim,
    length).
    """
    from sklearn.decomposition import TruncatedSVD

    ratings = found.data.matrix
    matrix = centred(ratings)
    svd = TruncatedSVD(LATENT, random_state=seed)
    codes = svd.fit_transform(matrix)
    sizes = np.maximum(np.diff(matrix.indptr), 1)
    ours = np.column_stack([*found.measured.spreads.values(), np.log(sizes)])
    known = classic_features(ratings)
    found = {
        "PCA reconstruction, ratings": observed_error(matrix, codes, svd.components_),
        "IsolationForest, SVD of ratings": forest(codes, seed),
        "LOF, SVD of ratings": outlier_factor(codes),
        "PCA-VarSelect, ratings": var_select(matrix, seed),
        "IsolationForest, classic features": forest(known, seed),
        "mean -log popularity": unpopularity(ratings),
    }
    detectors: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "IsolationForest": lambda features: forest(features, seed),
        "LOF": outlier_factor,
        "PCA reconstruction": principal_error,
    }
    return found | {f"{name}, our features": detect(ours) for name, detect in detectors.items()}


def centred(matrix: Any) -> Any:
    """Ratings minus their item's mean, in the same cells."""
    values = matrix.data.astype(np.float64)
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    sums = np.bincount(matrix.indices, values, minlength=matrix.shape[1])
    deviations = values - (sums / np.maximum(counts, 1))[matrix.indices]
    return sp.csr_matrix((deviations, matrix.indices, matrix.indptr), shape=matrix.shape)


def observed_error(matrix: Any, codes: np.ndarray, components: np.ndarray) -> np.ndarray:
    """The mean squared error of a reconstruction over the ratings of each user."""
    rows = row_numbers(matrix.indptr)
    guess = np.einsum("ij,ij->i", codes[rows], components.T[matrix.indices])
    errors = np.bincount(rows, (matrix.data - guess) ** 2, minlength=matrix.shape[0])
    return errors / np.maximum(np.diff(matrix.indptr), 1)


def forest(features: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(n_estimators=200, random_state=seed)
    return -model.fit(features).score_samples(features)


def outlier_factor(features: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import LocalOutlierFactor

    model = LocalOutlierFactor(n_neighbors=20).fit(standard(features))
    return np.asarray(-model.negative_outlier_factor_)


def principal_error(features: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    scaled = standard(features)
    model = PCA(2).fit(scaled)
    return ((scaled - model.inverse_transform(model.transform(scaled))) ** 2).sum(axis=1)


def standard(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-12)


def var_select(matrix: Any, seed: int) -> np.ndarray:
    """Mehta & Nejdl (2009): attackers have the smallest loadings on the first three components of
    the users.

    Rows are scaled to unit norm. Items without a rating count as average, so the matrix stays
    sparse.
    """
    from sklearn.decomposition import TruncatedSVD

    rows = row_numbers(matrix.indptr)
    norms = np.sqrt(np.bincount(rows, matrix.data**2, minlength=matrix.shape[0]))
    scaled = sp.diags(1 / np.maximum(norms, 1e-12)) @ matrix
    svd = TruncatedSVD(3, random_state=seed)
    vectors = svd.fit_transform(scaled) / np.maximum(svd.singular_values_, 1e-12)
    return -(vectors**2).sum(axis=1)


def unpopularity(matrix: Any) -> np.ndarray:
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    values = -np.log(counts[matrix.indices] / matrix.nnz)
    sums = np.bincount(row_numbers(matrix.indptr), values, minlength=matrix.shape[0])
    return sums / np.maximum(np.diff(matrix.indptr), 1)


def classic_features(matrix: Any) -> np.ndarray:
    """RDMA, WDMA, DegSim with 25 neighbours, and log length (Burke et al. 2006); (n_users, 4)."""
    rows, sizes = row_numbers(matrix.indptr), np.maximum(np.diff(matrix.indptr), 1)
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])[matrix.indices]
    off = np.abs(centred(matrix).data)
    rdma = np.bincount(rows, off / counts, minlength=len(sizes)) / sizes
    wdma = np.bincount(rows, off / counts**2, minlength=len(sizes)) / sizes
    values = centred(matrix)
    norms = np.sqrt(np.bincount(rows, values.data**2, minlength=len(sizes)))
    unit = sp.diags(1 / np.maximum(norms, 1e-12)) @ values
    nearest = np.empty(len(sizes))
    for start in range(0, len(sizes), 500):
        cosines = (unit[start : start + 500] @ unit.T).toarray()
        nearest[start : start + 500] = np.partition(cosines, -26, axis=1)[:, -26:-1].mean(axis=1)
    return standard(np.column_stack([rdma, wdma, nearest, np.log(sizes)]))
