"""Titles by item id, and the search in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recae.serve.shelf import Served


class Titles:
    """The titles of the items of one model, made once for each model that is loaded.

    by_id: item id -> title, for items that have one.
    """

    def __init__(self, served: Served) -> None:
        self.served, model = served, served.model
        self.by_id: dict[Any, str] = {}
        self.texts, self.codes = pa.array([], pa.string()), np.empty(0, dtype=np.int64)
        if served.titles is None:
            return
        texts = served.titles.texts(model.items_, missing="")
        self.codes = np.flatnonzero([bool(text) for text in texts])
        order = np.argsort(-model.item_counts_[self.codes], kind="stable")
        self.codes = self.codes[order]  # popular items first
        ids = model.items_.ids[self.codes].tolist()
        kept = [texts[code].encode("utf-8", "replace").decode() for code in self.codes.tolist()]
        self.by_id, self.texts = dict(zip(ids, kept, strict=True)), pa.array(kept, pa.string())

    def search(self, text: str, limit: int) -> list[dict[str, Any]]:
        """The items whose titles have a text, whatever its case: those that begin with it first,
        then the popular ones. The empty text finds the most popular items."""
        starts = pc.starts_with(self.texts, text, ignore_case=True).to_numpy(zero_copy_only=False)
        has = pc.match_substring(self.texts, text, ignore_case=True).to_numpy(zero_copy_only=False)
        places = [*np.flatnonzero(starts), *np.flatnonzero(has & ~starts)][:limit]
        ids = self.served.model.items_.ids
        return [
            {"item_id": _plain(ids[self.codes[place]]), "title": self.texts[int(place)].as_py()}
            for place in places
        ]


def _plain(item: Any) -> Any:
    return item if isinstance(item, str) else int(item)


class Shelved:
    """The titles of every model that is served; those of a replaced model are dropped."""

    def __init__(self) -> None:
        self.made: dict[str, Titles] = {}

    def of(self, served: Served) -> Titles:
        """The titles of a model, made at the first request for them."""
        titles = self.made.get(served.name)
        if titles is None or titles.served is not served:
            titles = self.made[served.name] = Titles(served)
        return titles
