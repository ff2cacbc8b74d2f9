"""The map of a model or of codes: positions, titles and colours, to plot and to measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recae.apply.maps.colours import Amounts, Groups
from recae.apply.maps.layout import Coherence, K, coherence
from recae.apply.maps.page import content, page
from recae.apply.maps.picture import picture
from recae.apply.maps.points import Points
from recae.errors import ConfigError, check_integer, explained, unknown_option
from recae.system.display import html_frame


@explained
@dataclass(frozen=True, eq=False, repr=False)
class Map(Points):
    """Positions of items, of users or of codes in the plane, as `map_items` makes them.

    ids: (n,) ids. positions: (n, 2) float64. titles: the names of the points. colours: by name, the
    `recae.apply.maps.Groups` of labels or `recae.apply.maps.Amounts` to colour the points by. near:
    (n, m) int64, the nearest other points by vectors, nearest first. what: "item", "user" or
    "point". method: "tsne" or "pca". size: the name of the amounts that say how important a point
    is, or None. provenance: the model, the options, the `trustworthiness` and, with PCA, the
    `explained_variance`.

    >>> recae.apply.maps.map_codes(X, method="pca")
    Map(100 points, pca)
    """

    def to_frame(self) -> pd.DataFrame:
        """A row for each point: the columns item_id (user_id, id), x, y and title, and one for each
        colour; several labels are separated by commas.

        >>> recae.apply.maps.map_codes(X, method="pca").to_frame().columns.tolist()
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
        """The share of the k nearest points on the map that have a label in common with a point,
        averaged over the points. Also the share of all pairs that have one.

        colour: the name of groups, by default the first; points without a label are left out.
        Raises ConfigError for a colour without groups and for a bad k.

        >>> codes = np.repeat([[0.0, 1.0], [5.0, 1.0]], 10, axis=0) + np.arange(20)[:, None] / 50
        >>> known = pd.DataFrame({"id": range(20), "kind": ["a"] * 10 + ["b"] * 10})
        >>> drawn = recae.apply.maps.map_codes(codes, about=known, method="pca")
        >>> drawn.coherence("kind", k=5).share
        1.0
        """
        name = self.colour_name(colour)
        groups = None if name is None else self.colours[name]
        if not isinstance(groups, Groups):
            raise ConfigError(
                "coherence needs labels: make the map with a table that has a column of text, such "
                "as genres",
                parameter="colour",
                value=colour,
            )
        k = check_integer("k", k, 1, groups.n_labelled - 1)
        return coherence(groups.labels, self.positions, k)

    def plot(
        self,
        path: str | Path,
        *,
        colour: str | None = None,
        labels: int = 20,
        title: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes a PNG atomically and returns the path.

        colour: one of `colours`, by default the first groups, else the first. labels: the largest
        number of points that are named, if they have titles: the most important of each region,
        where there is room. overwrite: replace a file that is there.

        Raises ConfigError for an unknown colour, a bad number or title, an ending other than .png,
        and without matplotlib; StorageError if the file cannot be written.

        >>> recae.apply.maps.map_codes(X, method="pca").plot("map.png", labels=3).name
        'map.png'
        """
        _check_title(title)
        return picture(self, path, self.colour_name(colour), labels, title, overwrite=overwrite)

    def html(
        self,
        path: str | Path,
        *,
        colour: str | None = None,
        title: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes one self-contained HTML page atomically and returns the path.

        The page can be zoomed and searched, lists the nearest neighbours of every point (by
        vectors, not on the map) and switches between the colours. colour: the first one shown.
        overwrite: replace a file that is there.

        Raises ConfigError for an unknown colour, a bad title or an ending other than .html;
        StorageError if the file cannot be written.

        >>> recae.apply.maps.map_codes(X, method="pca").html("map.html").name
        'map.html'
        """
        _check_title(title)
        return page(self, path, self.colour_name(colour), title, overwrite=overwrite)

    def colour_name(self, wanted: str | None = None) -> str | None:
        """The name of a colour; by default the first groups, else the first amounts, else None.

        A column with nearly as many labels as points, such as addresses, groups nothing: it is a
        colour only for who names it.

        Raises ConfigError for an unknown name.

        >>> recae.apply.maps.map_codes(X, method="pca").colour_name("taste")
        Traceback (most recent call last):
        recae.errors.ConfigError: unknown colour 'taste'. Known: none: pass a table with columns
        """
        if wanted is None:
            useful = [
                name
                for name, colour in self.colours.items()
                if isinstance(colour, Amounts) or colour.groups_some
            ]
            ordered = sorted(useful, key=lambda name: isinstance(self.colours[name], Amounts))
            return ordered[0] if ordered else None
        if wanted not in self.colours:
            known = self.colours or ("none: pass a table with columns",)
            raise unknown_option("colour", wanted, known)
        return wanted

    def _repr_html_(self) -> str:
        return html_frame(content(self, self.colour_name(), None))

    def __repr__(self) -> str:
        return f"Map({len(self.ids):,} {self.what}s, {self.method})"


def _check_title(title: object) -> None:
    if title is not None and not isinstance(title, str):
        raise ConfigError(f"title must be text, not {title!r}", parameter="title", value=title)
