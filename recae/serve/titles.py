"""Titles by item id, and the search in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recae.serve.shelf import Served


class Titles:
    """The titles of the items of one model, made once for each model that is loaded.

    by_id: item id -> title, for items that have one. The others are found by their ids.
    """

    def __init__(self, served: Served) -> None:
        self.served, model = served, served.model
        ids = model.items_.ids.tolist()
        titles = [""] * len(ids)
        if served.titles is not None and "title" in served.titles.columns:
            given = served.titles.texts(model.items_, missing="")
            titles = [*given]
        self.by_id = {item: title for item, title in zip(ids, titles, strict=True) if title}
        self.order = np.argsort(-model.item_counts_, kind="stable")  # popular items first
        named = [titles[place] or str(ids[place]) for place in self.order.tolist()]
        safe = [name.encode("utf-8", "replace").decode() for name in named]
        self.texts = folded(pa.array(safe, pa.string()))

    def search(self, text: str, limit: int) -> list[dict[str, Any]]:
        """The items whose titles have all words of a text, whatever case and accents: the item with
        this id, those that begin with the text, then the others; among them popular ones first.

        The empty text finds the most popular items.
        """
        wanted = folded(pa.array([text.strip()], pa.string()))[0].as_py()
        has = np.ones(len(self.texts), dtype=bool)
        for word in wanted.split():
            has &= pc.match_substring(self.texts, word).to_numpy(zero_copy_only=False)
        starts = pc.starts_with(self.texts, wanted).to_numpy(zero_copy_only=False) & has
        found = [*self._of_id(text.strip()), *self.order[starts], *self.order[has & ~starts]]
        codes = [*dict.fromkeys(int(code) for code in found[: limit + 1])][:limit]
        ids = self.served.model.items_.ids[codes].tolist()
        return [
            {"item_id": item, "title": self.by_id[item]}
            if item in self.by_id
            else {"item_id": item}
            for item in ids
        ]

    def _of_id(self, text: str) -> list[int]:
        """The code of the item that has this id, if there is one."""
        known = self.served.model.items_
        wanted: Any = text
        if known.kind != "str":
            digits = text.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
                return []
            wanted = int(text)
            if not -(2**63) <= wanted < 2**63:
                return []
        return [code for code in known.lookup([wanted]).tolist() if code >= 0] if len(known) else []


def folded(texts: Any) -> Any:
    """Texts in small letters without accents, so that `amelie` finds `Amélie`."""
    apart = pc.utf8_normalize(texts, "NFKD")
    return pc.utf8_lower(pc.replace_substring_regex(apart, r"\p{M}+", ""))


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
