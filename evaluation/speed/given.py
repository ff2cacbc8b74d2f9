"""The data of a benchmark, and the files that pass them to the sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

import recae
from recae.errors import DataError
from recae.rng import numpy_generator


def read(folder: Path, users: int | None = None) -> recae.Interactions:
    """The training interactions of a data set in a folder, each with weight 1.

    train.parquet (user, item) unchanged, or else ratings.parquet (user, item, rating) filtered as
    in RecBole's benchmark of MovieLens 1M: ratings of 3 and more, then the 10-core. users: the
    number of random users to keep, for a dry run; only their items are kept. Raises DataError if
    neither file exists.
    """
    train, ratings = folder / "train.parquet", folder / "ratings.parquet"
    if train.is_file():
        data = recae.read_parquet(train, user="user", item="item").binarised()
    elif ratings.is_file():
        rated = recae.read_parquet(ratings, user="user", item="item", weight="rating")
        data = rated.filter(min_weight=3.0, binarise=True).k_core(10, 10)
    else:
        raise DataError(f"neither train.parquet nor ratings.parquet is in {folder}")
    if users is not None and users < data.n_users:
        rows = np.sort(numpy_generator(0).choice(data.n_users, users, replace=False))
        some = data.matrix[rows]
        data = recae.Interactions.from_csr(some[:, np.flatnonzero(some.getnnz(axis=0))])
    return data


def write_atomic(folder: Path, part: str, matrix: sp.csr_matrix) -> None:
    """Writes the cells of a matrix as an atomic file of RecBole: FOLDER/given/given.PART.inter.

    Its ids are the numbers of rows and columns. RecBole renumbers them in order of appearance.
    """
    place = folder / "given"
    place.mkdir(exist_ok=True)
    cells = matrix.tocoo()
    np.savetxt(
        place / f"given.{part}.inter",
        np.column_stack([cells.row, cells.col]),
        fmt="%d",
        delimiter="\t",
        header="user_id:token\titem_id:token",
        comments="",
    )
