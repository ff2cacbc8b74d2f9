"""Points in the plane with what is known of them, to look at and to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.apply.maps.colours import Amounts, Groups
from recae.apply.maps.neighbours import Floats
from recae.apply.maps.quality import Coherence, K, coherence
from recae.data.ids import Ids
from recae.errors import ConfigError, unknown_option


@dataclass(frozen=True, eq=False, repr=False)
class Map:
    """Positions of items, of users or of anything with codes: see `recae.apply.maps.map_items`.

    ids: (n,) ids; positions: (n, 2) float64; titles: what points are called; colours: by name,
    `recae.maps.Groups` of labels or `recae.maps.Amounts`, what they can be coloured by; near: (n,
    m) int64, the places of the nearest others by their vectors, nearest first; what: "item", "user"
    or "point"; method: "tsne" or "pca"; size: the name of the amounts that make a point important,
    or None; provenance: what was drawn and how, with `trustworthiness` and, of PCA, the
    `explained_variance`.

    >>> codes = np.random.default_rng(0).normal(size=(20, 5))
    >>> recae.apply.maps.map_codes(codes, method="pca")
    Map(20 points, pca)
    """

    ids: Ids
    positions: Floats
    titles: tuple[str, ...]
    colours: Mapping[str, Groups | Amounts]
    near: npt.NDArray[np.int64]
    what: str
    method: str
    size: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """A row for each point: the columns item_id (user_id, id), x, y and title, and one for each
        colour, in which several labels have commas between them.

        >>> codes = np.random.default_rng(0).normal(size=(20, 5))
        >>> recae.apply.maps.map_codes(codes, method="pca").to_frame().columns.tolist()
        ['id', 'x', 'y', 'title']
        """
        column = "id" if self.what == "point" else f"{self.what}_id"
        columns: dict[str, Any] = {
            column: self.ids,
            "x": self.positions[:, 0],
            "y": self.positions[:, 1],
            "title": list(self.titles),
        }
        for name, colour in self.colours.items():
            columns[name] = colour.texts() if isinstance(colour, Groups) else colour.values
        return pd.DataFrame(columns)

    def coherence(self, colour: str | None = None, k: int = K) -> Coherence:
        """Of the k nearest on the map of every point, the share that has a label in common with it,
        beside the share of all pairs that have.

        colour: the name of groups, by default the first; points without a label are left out.
        Raises ConfigError if that is none, or for a bad k.

        >>> from recae.apply.maps import map_codes
        >>> codes = np.repeat([[0.0, 1.0], [5.0, 1.0]], 10, axis=0) + np.arange(20)[:, None] / 50
        >>> known = pd.DataFrame({"id": range(20), "kind": ["a"] * 10 + ["b"] * 10})
        >>> map_codes(codes, about=known, method="pca").coherence("kind", k=5).share
        1.0
        """
        name = self._groups_name(colour)
        labels = self.colours[name].labels  # type: ignore[union-attr]
        labelled = int((np.diff(labels.indptr) > 0).sum())
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < labelled:
            raise ConfigError(
                f"k must be a whole number from 1 to below the {labelled:,} points with {name}, "
                f"not {k!r}"
            )
        return coherence(labels, self.positions, int(k))

    def plot(
        self,
        path: str | Path,
        *,
        colour: str | None = None,
        labels: int = 20,
        title: str | None = None,
    ) -> Path:
        """Writes a PNG, whole or not at all. Returns the path.

        colour: one of `colours`, by default the first groups, else the first. labels: at most so
        many points are named, if they have titles: the most important of each region, where there
        is room.

        Raises ConfigError for an unknown colour, a bad number or title, and without matplotlib;
        StorageError if it cannot be written.

        >>> codes = np.random.default_rng(0).normal(size=(20, 5))
        >>> recae.apply.maps.map_codes(codes, method="pca").plot("map.png", labels=3).name
        'map.png'
        """
        from recae.apply.maps.picture import picture

        _check_title(title)
        return picture(self, path, self.colour_name(colour), labels, title)

    def html(
        self, path: str | Path, *, colour: str | None = None, title: str | None = None
    ) -> Path:
        """Writes one HTML page that needs nothing else, whole or not at all. Returns the path.

        It can be zoomed and searched, names every point with its nearest neighbours (by vectors,
        not on the map), and shows one colour after the other. colour: the one it begins with.

        Raises ConfigError for an unknown colour or a bad title, StorageError if it cannot be
        written.

        >>> codes = np.random.default_rng(0).normal(size=(20, 5))
        >>> recae.apply.maps.map_codes(codes, method="pca").html("map.html").name
        'map.html'
        """
        from recae.apply.maps.page import page

        _check_title(title)
        return page(self, path, self.colour_name(colour), title)

    def colour_name(self, wanted: str | None = None) -> str | None:
        """A colour that there is; by default the first groups, else the first; None without any.

        Raises ConfigError for an unknown one.

        >>> codes = np.random.default_rng(0).normal(size=(20, 5))
        >>> recae.apply.maps.map_codes(codes, method="pca").colour_name("taste")
        Traceback (most recent call last):
        recae.errors.ConfigError: unknown colour 'taste'. Known: none: pass a table with columns
        """
        if wanted is None:
            ordered = sorted(self.colours, key=lambda name: isinstance(self.colours[name], Amounts))
            return ordered[0] if ordered else None
        if wanted not in self.colours:
            known = self.colours or ("none: pass a table with columns",)
            raise unknown_option("colour", wanted, known)
        return wanted

    @property
    def importance(self) -> Floats:
        """What makes a point worth a name, (n,): its `size`, or the same for all."""
        if self.size is None:
            return np.zeros(len(self.ids))
        amounts = self.colours[self.size]
        assert isinstance(amounts, Amounts)
        return np.nan_to_num(amounts.values)

    @property
    def named(self) -> bool:
        """Whether points have names worth reading: titles, or ids that are text."""
        return self.ids.dtype == object or any(
            title != str(id) for title, id in zip(self.titles, self.ids, strict=True)
        )

    def _groups_name(self, wanted: str | None) -> str:
        name = self.colour_name(wanted)
        if name is None or not isinstance(self.colours[name], Groups):
            raise ConfigError(
                "coherence needs labels: pass a table with a column of text, such as genres, when "
                "the map is made"
            )
        return name

    def __repr__(self) -> str:
        return f"Map({len(self.ids):,} {self.what}s, {self.method})"


def _check_title(title: object) -> None:
    if title is not None and not isinstance(title, str):
        raise ConfigError(f"title must be text, not {title!r}")
