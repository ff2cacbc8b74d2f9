"""Errors of predicted ratings, from a table of any system."""

from __future__ import annotations

from typing import Any

import numpy as np

from recae.data import IdMap, Interactions, as_interactions, read_columns
from recae.data.csr import cells
from recae.data.ids import show
from recae.data.tables.columns import number_array
from recae.errors import DataError, check_option, explained, warn


@explained
def rating_errors(
    predictions: Any,
    truth: Interactions | Any,
    *,
    user: str = "user_id",
    item: str = "item_id",
    prediction: str = "prediction",
    on_missing: str = "raise",
) -> dict[str, float]:
    """RMSE, MAE and R2 of a table of predicted ratings, matched with the true ones by id.

    predictions: a row for each (user, item), as a frame (pandas, polars, Arrow) or as Parquet or
    text files; user, item, prediction: its columns. truth: the ratings, as Interactions whose
    weights they are, or a table with the default column names. Over the pairs of `truth`, with the
    errors e = prediction - rating:

        rmse    sqrt(mean of e^2), in the unit of the ratings
        mae     mean of |e|
        r2      1 - sum of e^2 / sum of (rating - mean rating)^2: 0 for the mean, 1 for no error;
                NaN where all ratings are the same
        pairs   their number

    Predictions of other pairs are ignored. on_missing: "raise" refuses a pair without a
    prediction, "drop" leaves it out with a warning that counts it. Raises DataError for columns,
    ids or numbers that cannot be used, repeated pairs, and if no pair is left; ConfigError for an
    unknown option.

    >>> truth = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [7, 8, 7], "weight": [5.0, 3, 1]})
    >>> theirs = truth[["user_id", "item_id"]].assign(prediction=[4.0, 3, 2])
    >>> recae.evaluation.rating_errors(theirs, truth)["r2"]
    0.75
    """
    check_option("on_missing", on_missing, ("raise", "drop"))
    ratings = as_interactions(truth)
    if not ratings.nnz:
        raise DataError("there are no ratings to compare with")
    if not ratings.weighted:
        raise DataError(
            "the truth has no ratings: all its weights are 1. Give a table with the column "
            "'weight', or recae.Interactions.from_frame(truth, weight='rating')",
            parameter="truth",
            value=truth,
        )
    table = read_columns(predictions, user, item, (prediction,))
    if prediction not in table:
        raise DataError(
            f"the table of predictions has no column {prediction!r}: name it with prediction=",
            parameter="prediction",
            value=prediction,
        )
    given = number_array(table[prediction], "the table", what="predictions").astype(np.float64)
    users, user_codes = IdMap.from_values(table[user], "user")
    items, item_codes = IdMap.from_values(table[item], "item")
    rows = ratings.users.lookup(users.ids)[user_codes]
    columns = ratings.items.lookup(items.ids)[item_codes]
    known = (rows >= 0) & (columns >= 0)
    keys = rows[known] * np.int64(ratings.n_items) + columns[known]
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], given[known][order]
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if len(repeated):
        row = int(np.flatnonzero(known)[order][repeated[0] + 1])
        raise DataError(
            f"{len(repeated):,} rows repeat a pair of user and item, the first "
            f"{show(users.ids[user_codes[row]])} and {show(items.ids[item_codes[row]])} at row "
            f"{row}: a pair has one prediction"
        )
    asked = cells(ratings.matrix)
    place = np.searchsorted(keys, asked)
    found = np.append(keys, -1)[place] == asked
    if not found.all():
        first = int(asked[int(found.argmin())])
        of_user, of_item = divmod(first, ratings.n_items)
        message = (
            f"{int((~found).sum()):,} of {len(asked):,} ratings have no prediction, the first that "
            f"of user {show(ratings.users.ids[of_user])} and item "
            f"{show(ratings.items.ids[of_item])}"
        )
        if on_missing == "raise" or not found.any():
            raise DataError(f"{message}; on_missing='drop' leaves such pairs out")
        warn(f"{message}: they are left out")
    true = ratings.matrix.data[found].astype(np.float64)
    errors = values[place[found]] - true
    spread = float(((true - true.mean()) ** 2).sum())
    return {
        "rmse": float(np.sqrt((errors**2).mean())),
        "mae": float(np.abs(errors).mean()),
        "r2": 1 - float((errors**2).sum()) / spread if spread else float("nan"),
        "pairs": len(errors),
    }
