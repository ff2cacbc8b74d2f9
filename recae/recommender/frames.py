"""Lists as frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recae.data import IdMap
from recae.ranking import TopK


def top_k_frame(users: np.ndarray, items: IdMap, top: TopK) -> pd.DataFrame:
    """`user_id, item_id, score, rank` (from 1) of lists, (rows,) user ids beside them; places where
    nothing is left have no row."""
    rows, places = np.nonzero(top.items >= 0)
    return pd.DataFrame(
        {
            "user_id": _column(users[rows]),
            "item_id": _column(items.decode(top.items[rows, places])),
            "score": top.scores[rows, places],
            "rank": places + 1,
        }
    )


def _column(ids: np.ndarray) -> pd.Series[Any]:
    """Ids as a column of a frame, of the same type when there are none."""
    text = pd.Series(["text"]).dtype  # pandas 2 and 3 differ in it
    return pd.Series(ids, dtype=text if ids.dtype == object else None)
