"""Tables about items or users, such as titles and genres, matched by id."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.data.idmap import IdMap
from recae.data.ids import Codes, Ids, as_ids, is_broken, show
from recae.data.tables.readers import read_whole_table
from recae.data.tables.sources import is_table, remedy
from recae.errors import DataError, check_option, explained, unknown_option, warn

DISTINCT = 0.9
"""The share of rows that have a value of their own in a column of titles of any name."""


@explained
class ItemTable:
    """Facts about items by id: a row for each item, or several.

    given: a table as `Interactions.from_frame` takes it, or the path of one (Parquet, CSV or TSV),
    with a column of ids. A pandas frame may have the ids as its index instead. It may also be a
    mapping or Series from ids to values, which become the column `value`. what: the word for one of
    them in messages, such as "item" or "user"; the column of ids is `item_id` or `user_id`
    accordingly, unless `id_column` names another. ids: "text" reads those of a text file as text,
    such as 007; "auto" as integers where all are. known: ids that the table is about. Where no
    column has the name of the ids, the column with the most of these ids is taken. encoding: of a
    text file, such as "cp1252"; by default UTF-8, or UTF-16 with a byte order mark.

    ids: (rows,) in the normal form of `as_ids`; columns: a frame of the other columns, whose index
    is 0..rows-1. Raises DataError for another type, for a path that cannot be read and without a
    column of ids.

    >>> titles = recae.ItemTable({7: "Alien", 8: "Brazil"})
    >>> titles.texts([8, 7, 9])
    ['Brazil', 'Alien', '9']
    """

    def __init__(
        self,
        given: Any,
        *,
        value: str = "title",
        what: str = "item",
        id_column: str | None = None,
        ids: str = "auto",
        known: IdMap | None = None,
        encoding: str | None = None,
    ) -> None:
        self.what, self.label = what, ""
        check_option("ids", ids, ("auto", "text"))
        found: Any
        id_column = f"{what}_id" if id_column is None else id_column
        if isinstance(given, Mapping) and not remedy(given):
            found, columns = list(given), _one_column(value, list(given.values()))
        elif isinstance(given, pd.Series):
            found, columns = given.index, _one_column(value, given.to_numpy())
        elif isinstance(given, str | os.PathLike) or is_table(given):
            texts = (id_column,) if ids == "text" and not is_table(given) else ()
            frame = read_whole_table(given, texts, encoding)
            self.label = "" if is_table(given) else f"{given}: "
            if known is not None and id_column not in frame.columns and _no_index(frame):
                every = [*map(str, frame.columns)] if texts else ()  # 007 may be in any column
                other = _column_of(
                    known, read_whole_table(given, every, encoding) if texts else frame
                )
                if other is not None:
                    id_column = other
                    frame = read_whole_table(given, (other,), encoding) if texts else frame
            if id_column in frame.columns:
                found, columns = frame[id_column], frame.drop(columns=id_column)
            elif _no_index(frame):
                raise self._absent(id_column, frame)
            else:
                found, columns = frame.index, frame
        else:
            raise DataError(
                f"{what}s must be described by a table with the column {id_column}, by its path, "
                f"or by a mapping from ids to values, not by {type(given).__name__}{remedy(given)}"
            )
        with self._named():
            if isinstance(found, pd.MultiIndex):
                raise DataError(f"{what} ids are one column, not {found.nlevels} (a MultiIndex)")
            self.ids: Ids = as_ids(found, what)
            _check(columns)
        self.columns: pd.DataFrame = columns.reset_index(drop=True)

    def column(self, name: str) -> pd.Series[Any]:
        """The values of a column, (rows,). Raises DataError, naming the columns there are.

        >>> recae.ItemTable({7: "Alien"}).column("title").tolist()
        ['Alien']
        """
        if name not in self.columns:
            raise self._absent(name, self.columns)
        return self.columns[name]

    def title_column(self) -> str:
        """The column of titles: `title`, or one whose name has that word or "name" in it, or the
        only other column, or the only one of text where nearly all rows differ.

        Raises DataError, naming the columns there are, if none or several may be meant.

        >>> table = pd.DataFrame({"item_id": [7, 8], "Titel": ["Alien", "Brazil"], "year": 1979})
        >>> recae.ItemTable(table).title_column()
        'Titel'
        """
        names = [str(name) for name in self.columns]
        lower = {name: name.lower() for name in names}
        for found in (
            [name for name in names if lower[name] == "title"],
            [name for name in names if lower[name] == "name"],
            [name for name in names if "title" in lower[name] or "name" in lower[name]],
            names if len(names) == 1 else [name for name in names if self._tells_apart(name)],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                break
        raise DataError(
            f"{self.label}the column of titles is not clear; columns: {', '.join(names) or 'none'}"
            "; rename it to title, or on the command line pass --title-column",
            parameter="title_column",
        )

    def _tells_apart(self, name: str) -> bool:
        """Whether a column has text, and another one in nearly every row."""
        values = self.columns[name].dropna()
        text = len(values) > 0 and all(isinstance(value, str) for value in values)
        return text and values.nunique() >= DISTINCT * len(self.ids)

    @cached_property
    def _distinct(self) -> IdMap:
        with self._named():
            return IdMap(self.ids, self.what)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            raise DataError(f"{self.label}{error}") from None

    def places(self, ids: IdMap | Any, *, required: bool = False) -> Codes:
        """The row of each of `ids` (an IdMap or a column of n ids), (n,) int64; -1 without one.

        Raises DataError if the table has an id twice, if one side has text and the other integers,
        and with `required` if no id has a row.

        >>> recae.ItemTable({7: "Alien", 8: "Brazil"}).places([8, 9]).tolist()
        [1, -1]
        """
        wanted = ids.ids if isinstance(ids, IdMap) else ids
        found = self._distinct.lookup(wanted)
        if required and len(found) and (found < 0).all():
            raise self._none(as_ids(wanted, self.what))
        return found

    def rows(self, ids: IdMap | Any, *, required: bool = False) -> pd.DataFrame:
        """The other columns for each of `ids`, missing values where the table has no row.

        Raises DataError as `places` does.

        >>> recae.ItemTable({7: "Alien", 8: "Brazil"}).rows([8])["title"].tolist()
        ['Brazil']
        """
        places = self.places(ids, required=required)
        return self.columns.reindex(places).reset_index(drop=True)  # -1 is not in the index

    def texts(
        self,
        ids: IdMap | Any,
        column: str = "title",
        *,
        missing: str | None = None,
        required: bool = False,
    ) -> list[str]:
        """A column as text for each of `ids`, (ids,). Without a value: `missing`, or else the id.

        Raises DataError as `column` and `places` do.

        >>> recae.ItemTable({7: "Alien"}).texts([7, 9], missing="?")
        ['Alien', '?']
        """
        values = self.column(column)
        places = self.places(ids, required=required)
        known = np.append(values.notna().to_numpy(), False)[places]  # -1 finds the last, False
        wanted = ids.ids if isinstance(ids, IdMap) else as_ids(ids, self.what)
        texts = wanted.astype(object) if missing is None else np.full(len(places), missing, object)
        texts[known] = values.to_numpy(dtype=object)[places[known]]
        return [str(text) for text in texts]

    def categories(
        self,
        ids: IdMap,
        column: str = "category",
        *,
        separator: str | None = None,
        tell: bool = True,
    ) -> tuple[list[Any], Any]:
        """The categories in ascending order, and which of `ids` has which: CSR (ids, categories)
        of ones. An id may have several rows; rows of other ids are ignored.

        separator: splits texts such as "Comedy|Romance"; lists of texts are taken apart too, and
        missing values count as no category. tell: count ids without a category in a RecaeWarning.
        Raises DataError for an absent column, without `separator` also for missing values, and if
        no id has a category.

        >>> table = recae.ItemTable({7: "horror|space", 8: "satire"}, value="category")
        >>> names, which = table.categories(recae.data.IdMap([7, 8]), separator="|")
        >>> names, which.toarray().tolist()
        (['horror', 'satire', 'space'], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        """
        values, places = self.column(column), ids.lookup(self.ids)
        if separator is not None:
            values = values.map(lambda value: _parts(value, separator)).explode()
            values = values[values.notna()]
            places = places[values.index]
        kinds, codes = IdMap.from_values(values, column)
        some = places >= 0
        if not some.any():
            raise self._none(ids.ids)
        cells = (np.ones(int(some.sum())), (places[some], codes[some]))
        matrix = sp.csr_matrix(cells, shape=(len(ids), len(kinds)))  # which adds repetitions up
        matrix.data[:] = 1
        without = int((np.diff(matrix.indptr) == 0).sum())
        if without and tell:
            warn(
                f"{without:,} of {len(ids):,} {self.what}s have no {column}, and count in no group"
            )
        return kinds.ids.tolist(), matrix

    def _absent(self, name: str, frame: pd.DataFrame) -> DataError:
        message = unknown_option("column", name, map(str, frame.columns))
        return DataError(f"{self.label}{message}", parameter=name)

    def _none(self, wanted: Ids) -> DataError:
        example = f", such as {show(wanted[0])}" if len(wanted) else ""
        return DataError(
            f"{self.label}the table has none of the {len(wanted):,} {self.what} ids that are needed"
            f"{example}: are the ids the same?"
        )


def _no_index(frame: pd.DataFrame) -> bool:
    """Whether the index of a frame is only the number of the row."""
    return isinstance(frame.index, pd.RangeIndex) and frame.index.name is None


def _column_of(known: IdMap, frame: pd.DataFrame) -> Any | None:
    """The column that has the most of some ids, each counted once; None if none has any."""
    most, best = 0, None
    for name in frame.columns:
        try:
            ids = as_ids(frame[name].dropna().drop_duplicates(), known.what)
            count = int((known.lookup(ids) >= 0).sum())
        except (DataError, TypeError):  # floats, lists, or ids of another kind
            continue
        if count > most:
            most, best = count, name
    return best


def _one_column(name: str, values: Any) -> pd.DataFrame:
    """A frame of one column. Text that pandas refuses stays as objects, for `_check` to name it."""
    try:
        return pd.DataFrame({name: pd.Series(values, dtype=None if len(values) else object)})
    except UnicodeEncodeError:
        return pd.DataFrame({name: pd.Series(values, dtype=object)}, dtype=object)


def _check(columns: pd.DataFrame) -> None:
    """Raises DataError for two columns of one name, and for half surrogate pairs in texts."""
    if not columns.columns.is_unique:
        twice = columns.columns[columns.columns.duplicated()][0]
        raise DataError(f"the table has two columns {twice!r}: rename one of them")
    for name, column in columns.items():
        if column.dtype != object:
            continue
        texts = [text if isinstance(text, str) else "" for text in column]
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            row = next(row for row, text in enumerate(texts) if is_broken(text))
            raise DataError(
                f"the column {name!r} must have Unicode text; {texts[row]!r} at row {row} has half "
                "a surrogate pair; correct how the text was decoded"
            ) from None


def _parts(value: Any, separator: str) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(separator) if part.strip()]
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []
