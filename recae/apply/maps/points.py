"""The data of a map (points, heading, caption) from which pages and pictures are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recae.apply.maps.colours import Amounts, Groups
from recae.apply.maps.layout import Floats, K, Places, coherence
from recae.data.ids import Ids

METHODS = {"tsne": "t-SNE", "pca": "principal components"}
"""The methods of layout, and their names in headings."""
GAP = 0.7
"""Least distance between named points, in sides of the square that each would have alone."""
CANDIDATES = 4000
"""Points considered for names, in descending order of importance."""


@dataclass(frozen=True, eq=False, repr=False)
class Points:
    """Points in the plane with ids, titles and colours; see `Map` for the fields."""

    ids: Ids
    positions: Floats
    titles: tuple[str, ...]
    colours: Mapping[str, Groups | Amounts]
    near: Places
    what: str
    method: str
    size: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def importance(self) -> Floats:
        """The priority of each point's label, (n,): the amounts `size`, or 0 for all."""
        if self.size is None:
            return np.zeros(len(self.ids))
        amounts = self.colours[self.size]
        assert isinstance(amounts, Amounts)
        return np.nan_to_num(amounts.values)

    @property
    def named(self) -> bool:
        """Whether the points have readable names: titles, or ids that are text."""
        return self.ids.dtype == object or any(
            title != str(id) for title, id in zip(self.titles, self.ids, strict=True)
        )


def heading(drawn: Points) -> str:
    """The title of a picture or page without one of its own."""
    return f"{len(drawn.ids):,} {drawn.what}s by {METHODS.get(drawn.method, drawn.method)}"


def model_name(drawn: Points) -> str:
    """The repr of the model; "" for a map of codes."""
    return str(drawn.provenance.get("model", ""))


def quality(drawn: Points, colour: str | None) -> list[str]:
    """Trustworthiness, and the coherence of the labels of a colour, as phrases."""
    facts = drawn.provenance
    phrases = [f"trustworthiness {facts['trustworthiness']:.3f} at {facts['neighbours']}"]
    groups = None if colour is None else drawn.colours[colour]
    if isinstance(groups, Groups) and groups.n_labelled > K:
        found = coherence(groups.labels, drawn.positions, K)
        phrases.append(
            f"{colour}: {found.share:.0%} of the {K} nearest on the map share a label with a "
            f"point, {found.chance:.0%} of all pairs do"
        )
    return phrases


def chosen(positions: Floats, importance: Floats, most: int) -> Places:
    """At most `most` places, in descending order of importance, none close to another."""
    order = np.argsort(-importance, kind="stable")
    if importance.max() == importance.min() and len(order) > CANDIDATES:
        order = order[:: len(order) // CANDIDATES]  # equally important: some from everywhere
    order = order[:CANDIDATES]
    spans = positions.max(axis=0) - positions.min(axis=0)
    area = float(np.maximum(spans, spans.max() / 100).prod())
    least = GAP**2 * area / max(most, 1)
    found: list[int] = []
    free = np.ones(len(order), dtype=bool)
    while free.any() and len(found) < most:
        at = int(free.argmax())
        found.append(int(order[at]))
        squares = ((positions[order] - positions[order[at]]) ** 2).sum(axis=1)
        free &= squares > least
        free[at] = False
    return np.array(found, dtype=np.int64)
