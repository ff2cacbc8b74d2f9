"""The methods of a fitted recommender that write everybody's lists."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from recae.data import Interactions, ItemTable
from recae.errors import ConfigError, check_flag, check_integer, check_option
from recae.ranking.batches import RankedLists, Request, rows_per_batch
from recae.recommend.export.forecast import Forecast, forecast
from recae.recommend.export.histories import Inputs, digests
from recae.recommend.export.lists import Plan, planned
from recae.recommend.export.opened import Export
from recae.recommend.export.run import check_place, is_file
from recae.recommend.export.since import path_of
from recae.recommend.fitted import Fitted
from recae.recommend.requests import tell_notes
from recae.recommend.rules.declared import Rules
from recae.recommend.rules.lists import UNKNOWN_ITEMS
from recae.recommend.rules.ranked import Ruled
from recae.recommend.selected import Either
from recae.recommend.similar import comparable_items, similar_lists
from recae.recommend.weights import uses_weights
from recae.system.digests import sha256_of_arrays
from recae.system.files import check_apart
from recae.system.threads import survives_fork


class Exports(Fitted, ABC):
    """Writes the lists of a fitted recommender to Parquet."""

    _loaded_as: str | None

    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the fitted state."""

    @overload
    def export(
        self,
        path: str | Path,
        history: Any = ...,
        k: int = ...,
        *,
        users: Any = ...,
        exclude_seen: bool = ...,
        items: Any = ...,
        exclude_items: Any = ...,
        on_unknown: str = ...,
        on_unknown_items: str = ...,
        rules: Rules | None = ...,
        batch_size: int | str = ...,
        progress: bool | None = ...,
        checkpoint: str | Path | None = ...,
        overwrite: bool = ...,
        titles: Any = ...,
        since: str | Path | Export | None = ...,
        dry_run: Literal[False] = False,
    ) -> int: ...

    @overload
    def export(
        self,
        path: str | Path,
        history: Any = ...,
        k: int = ...,
        *,
        users: Any = ...,
        exclude_seen: bool = ...,
        items: Any = ...,
        exclude_items: Any = ...,
        on_unknown: str = ...,
        on_unknown_items: str = ...,
        rules: Rules | None = ...,
        batch_size: int | str = ...,
        progress: bool | None = ...,
        checkpoint: str | Path | None = ...,
        overwrite: bool = ...,
        titles: Any = ...,
        since: str | Path | Export | None = ...,
        dry_run: Literal[True],
    ) -> Forecast: ...

    @survives_fork
    def export(
        self,
        path: str | Path,
        history: Any = None,
        k: int = 100,
        *,
        users: Any = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
        rules: Rules | None = None,
        batch_size: int | str = "auto",
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        overwrite: bool = False,
        titles: Any = None,
        since: str | Path | Export | None = None,
        dry_run: bool = False,
    ) -> int | Forecast:
        """Writes the rows of `recommend(users, k, history=history, ...)` to Parquet; their number.

        path: one file if it ends in .parquet or .pq; any other path is a folder, a dataset of parts
        that pyarrow, Spark and DuckDB read: part-00000.parquet and so on, with the rows of whole
        users in the order of the users. Its `_manifest.json` with counts and checksums is written
        after them, `_SUCCESS` last; `recae.open_export` reads it. Columns: user_id, item_id (int64
        or string), score (float32), rank (int32, from 1). titles: a mapping or Series from item
        ids to titles, or a table or its path with the columns item_id and title; there is then a
        column title (string, null without one). Lists are ranked while earlier ones are written; a
        few batches of them are in memory.

        After an interruption the same call resumes a folder part by part; the result is the same,
        byte by byte. A part that was deleted from a complete export is made anew. A file resumes
        only with checkpoint: a folder, new or empty, that keeps the parts and is deleted in the
        end; the lists are written twice. A file appears when it is complete. overwrite: replace a
        complete file or folder, which stays until the new one is complete, or begin an incomplete
        folder anew.

        since: an earlier export to a folder, or its path. Only users whose history has changed are
        ranked; the lists of the others are taken over. The rows are those of a full export, and
        scores differ as between two values of batch_size. Titles, users and their own exclusions
        may be others than then; the model and all other options must be the same.

        dry_run: write nothing, and return a `Forecast` of the seconds, bytes and memory that the
        same call without it takes, from a sample of random users. It takes a few seconds.

        Raises DataError as `recommend` does; StorageError for a place that cannot be written, for
        one that holds something else or a complete export, and while another process writes there;
        ConfigError for parts of another model, other histories or other options, for `since` with
        another model or other options, and for a path with the ending of another format.

        >>> recae.Popularity().fit(data).export("top.parquet", data, k=1)
        5
        """
        self._check_fitted()
        check_place(path, checkpoint, overwrite=overwrite)
        started = time.perf_counter()
        if check_flag("dry_run", dry_run) and since is not None:
            raise ConfigError(
                "dry_run forecasts an export of everybody: leave out since=...",
                parameter="since",
                value=str(path_of(since)),
            )
        plan, ruled = self._export_plan(
            history,
            k,
            users=users,
            exclude_seen=exclude_seen,
            items=items,
            exclude_items=exclude_items,
            on_unknown=on_unknown,
            on_unknown_items=on_unknown_items,
            rules=rules,
            batch_size=batch_size,
            titles=titles,
        )
        if dry_run:
            planning = time.perf_counter() - started
            return forecast(plan, planning, file=is_file(path), twice=checkpoint is not None)
        if since is not None:
            check_apart([path], [path_of(since)])
            plan = plan.since(since, progress)
        rows = plan.run(path, progress=progress, checkpoint=checkpoint, overwrite=overwrite)
        tell_notes(ruled.notes)
        return rows

    @survives_fork
    def export_similar(
        self,
        path: str | Path,
        k: int = 100,
        *,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown_items: str = "ignore",
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
        overwrite: bool = False,
        titles: Any = None,
    ) -> int:
        """Writes the rows of `similar_items(items_, k, ...)` to Parquet; returns their number.

        Columns: item_id, similar_item_id (int64 or string), score (float32), rank (int32, from 1),
        and with titles those of the similar items. Items without training users are similar to
        nothing and have no rows. A batch of similarities is in memory at a time. path, progress,
        checkpoint, overwrite, titles: as in `export`, which also says what is raised; the others:
        as in `similar_items`. Raises ConfigError for a model that learns nothing about items from
        who has them.

        >>> recae.EASE().fit(data).export_similar("similar", k=2)
        8
        """
        self._check_fitted()
        check_place(path, checkpoint, overwrite=overwrite)
        check_option("on_unknown_items", on_unknown_items, UNKNOWN_ITEMS)
        rules, compare = (items, exclude_items, on_unknown_items), self._comparing()
        compare(np.empty(0, dtype=np.int64))  # raises for a model without similar items
        allowed = comparable_items(self.items_, self.item_counts_, rules)
        codes, n_items = np.flatnonzero(self.item_counts_), len(self.items_)

        def ranked(first: int, stop: int, step: int) -> RankedLists:
            return similar_lists(compare, codes[first:stop], n_items, most, allowed, step=step)

        most = min(check_integer("k", k), n_items)
        plan = planned(
            "similar items",
            self.items_.decode(codes),
            self.items_.ids,
            ranked,
            k=most,
            batch=rows_per_batch("auto", n_items),
            model=self._about_model(),
            data={"items": n_items},
            options={"items": None if allowed is None else sha256_of_arrays(allowed)},
            titles=self._texts(titles),
        )
        return plan.run(path, progress=progress, checkpoint=checkpoint, overwrite=overwrite)

    def _about_model(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fingerprint": self._loaded_as or self.fingerprint(),
            "hyperparameters": self.get_params(),
        }

    def _texts(self, titles: Any) -> list[str | None] | None:
        """The titles of all items of the model, None where there is none."""
        if titles is None:
            return None
        kind = "text" if self.items_.kind == "str" else "auto"
        table = ItemTable(titles, ids=kind, known=self.items_)
        texts = table.texts(self.items_, table.title_column(), missing="")
        return [text or None for text in texts]

    def _export_plan(
        self,
        history: Any,
        k: int,
        *,
        users: Any = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
        rules: Rules | None = None,
        batch_size: int | str = "auto",
        titles: Any = None,
    ) -> tuple[Plan, Ruled]:
        """What `export` would write, and the ranking, whose notes are complete afterwards."""
        limits = items, exclude_items, exclude_seen, on_unknown_items
        ruled = self._ruled(users, history, on_unknown, *limits, rules, lazily=True)
        request, most = ruled.request, min(check_integer("k", k), len(self.items_))
        texts, allowed = self._texts(titles), request.allowed
        about_data = self._about_data(history, request)

        def ranked(first: int, stop: int, step: int) -> RankedLists:
            request.matrix.release()  # the pages of earlier users
            yield from ruled.batches(most, step, first, stop)

        def chosen(rows: np.ndarray, step: int) -> RankedLists:
            yield from ruled.part(rows).batches(most, step)
            request.matrix.release()

        plan = planned(
            "recommendations",
            request.users,
            self.items_.ids,
            ranked,
            k=most,
            batch=ruled.rows_at_a_time(batch_size),
            model=self._about_model(),
            data=about_data,
            options={
                "exclude_seen": exclude_seen,
                "on_unknown": on_unknown,
                "users": None if users is None else sha256_of_arrays(request.users),
                "items": None if allowed is None else sha256_of_arrays(allowed),
                "excluded": _digest_of_excluded(request),
                "rules": ruled.identity(),
            },
            titles=texts,
            inputs=Inputs(
                request.users,
                self.items_,
                most,
                chosen,
                lambda: digests(request, ruled.only, uses_weights(self)),
            ),
        )
        return plan, ruled

    def _about_data(self, history: Any, request: Request) -> dict[str, Any]:
        """What an export says about the histories."""
        given = self.history_ if history is None else history
        if isinstance(given, Interactions):
            return {"fingerprint": given.fingerprint(), "users": given.n_users}
        matrix, rows = request.matrix.source, request.matrix.rows
        arrays = [request.users, matrix.indptr, matrix.indices, matrix.data]
        known = sha256_of_arrays(*arrays, *([] if rows is None else [rows]))
        return {"fingerprint": known[:16], "users": len(request)}


def _digest_of_excluded(request: Request) -> str | None:
    """What may not come back beside the histories, which have a fingerprint; None for nothing."""
    arrays, rest = list[Any](), request.exclude
    while isinstance(rest, Either):
        arrays += [rest.other.indptr, rest.other.indices]
        rest = rest.one
    if rest is not None and rest is not request.matrix:
        arrays += [rest.indptr, rest.indices]
    return sha256_of_arrays(*arrays) if arrays else None
