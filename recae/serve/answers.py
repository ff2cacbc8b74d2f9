"""The answers of the service, from a model and a checked request; nothing here knows HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.errors import RecaeError
from recae.recommend.rules import Rules
from recae.serve.refusals import invalid
from recae.serve.rules import of_rules
from recae.serve.shelf import Served

RULES = [field.name for field in fields(Rules)]
WORDS = {"int": "integers", "str": "texts"}


@dataclass(frozen=True, eq=False)
class Asked:
    """A request of one user, checked against the model that answers it."""

    served: Served
    history: list[Any]
    k: int
    exclude_seen: bool = True
    rules: Any = None
    user: Any = None
    explain: int = 0
    notes: tuple[Mapping[str, Any], ...] = field(default=())


def with_history(asked: Asked, history: list[Any], notes: Sequence[Mapping[str, Any]]) -> Asked:
    """The request with the history of a store."""
    return replace(asked, history=history, notes=tuple(notes))


def check_ids(ids: Sequence[Any], served: Served, parameter: str, most: int) -> None:
    """Raises Refused (422) for too many ids and for ids of another kind than the model's."""
    if len(ids) > most:
        raise invalid(
            f"{parameter} has {len(ids):,} ids; this service takes at most {most:,}", parameter
        )
    kind = served.model.items_.kind
    if ids and len(served.model.items_) and isinstance(ids[0], str) != (kind == "str"):
        raise invalid(
            f"{parameter} has ids that are {WORDS['int' if kind == 'str' else 'str']}; those of "
            f"the model {served.name} are {WORDS[kind]}",
            parameter,
        )


def recommend(asked: Asked, titles: Mapping[Any, str]) -> dict[str, Any]:
    """The answer of /v1/recommend, ready for JSON. titles: by item id, for those that have one."""
    model: Any = asked.served.model
    options: dict[str, Any] = {"exclude_seen": asked.exclude_seen}
    if asked.rules is not None:
        options["rules"] = asked.rules
    try:
        found = model.recommend_ids(asked.history, asked.k, on_unknown="popular", **options)
    except RecaeError as error:
        if error.parameter not in RULES:
            raise
        raise of_rules(error) from None
    ids, scores = found
    items = ranked(ids, scores, titles)
    if asked.explain and ids:
        because = reasons(asked.served, asked.history, ids, asked.explain, titles)
        for item in items:
            item["because"] = because.get(item["item_id"], [])
    return {
        "model": asked.served.name,
        "version": asked.served.version,
        "items": items,
        "unknown": found.unknown,
        "notes": [*asked.notes, *found.notes],
    }


def recommend_together(
    several: Sequence[Asked], titles: Sequence[Mapping[Any, str]]
) -> list[dict[str, Any]]:
    """The answers of several requests, those that are alike ranked together."""
    answers: list[dict[str, Any] | None] = [None] * len(several)
    alike: dict[tuple[int, int, bool], list[int]] = {}
    for place, asked in enumerate(several):
        if asked.rules is None and not asked.explain:
            key = (id(asked.served), asked.k, asked.exclude_seen)
            alike.setdefault(key, []).append(place)
        else:
            answers[place] = recommend(asked, titles[place])
    for places in alike.values():
        if len(places) == 1:
            answers[places[0]] = recommend(several[places[0]], titles[places[0]])
            continue
        first = several[places[0]]
        histories = [several[place].history for place in places]
        matrix, unknown = as_matrix(first.served, histories)
        top = first.served.model.recommend_array(
            matrix, first.k, exclude_seen=first.exclude_seen, on_unknown="popular"
        )
        decoded = first.served.model.items_.ids
        for row, place in enumerate(places):
            some = top.items[row] >= 0
            ids = decoded[top.items[row][some]].tolist()
            items = ranked(ids, top.scores[row][some].tolist(), titles[place])
            answers[place] = {
                "model": first.served.name,
                "version": first.served.version,
                "items": items,
                "unknown": unknown[row],
                "notes": [*several[place].notes, *short(first.k, len(ids))],
            }
    return [answer for answer in answers if answer is not None]


def short(k: int, found: int) -> list[dict[str, Any]]:
    """The note of a list with fewer than k items."""
    return [] if found >= k else [{"rule": "short", "asked": k, "found": found}]


def as_matrix(served: Served, histories: Sequence[Sequence[Any]]) -> tuple[Any, list[int]]:
    """Histories as CSR (rows, n_items) of ones, and how many ids of each are unknown."""
    known = served.model.items_
    lengths = np.array([len(history) for history in histories])
    found = [known.lookup(history) for history in histories if len(history)]
    codes = np.concatenate([np.empty(0, dtype=np.int64), *found])
    rows = np.repeat(np.arange(len(histories)), lengths)
    some = codes >= 0
    cells = np.ones(int(some.sum()), np.float32), (rows[some], codes[some])
    matrix = sp.csr_matrix(cells, shape=(len(histories), len(known)))  # adds repetitions up
    matrix.data[:] = 1
    return matrix, np.bincount(rows[~some], minlength=len(histories)).tolist()


def ranked(
    ids: Sequence[Any], scores: Sequence[float], titles: Mapping[Any, str]
) -> list[dict[str, Any]]:
    """The items of a list, ready for JSON; with a title where there is one."""
    items = [
        {"item_id": item, "score": score, "rank": rank}
        for rank, (item, score) in enumerate(zip(ids, scores, strict=True), 1)
    ]
    if titles:
        for item in items:
            if item["item_id"] in titles:
                item["title"] = titles[item["item_id"]]
    return items


def reasons(
    served: Served, history: list[Any], items: Sequence[Any], top: int, titles: Mapping[Any, str]
) -> dict[Any, list[dict[str, Any]]]:
    """The reasons of each item: the items of the history that contribute most; none for a history
    without an item that the model knows."""
    known, model = known_only(served, history)[0], served.model
    if not known:
        return {}
    frame = model.explain(known, items, top=top).contributions
    return grouped(frame, titles)


def grouped(frame: Any, titles: Mapping[Any, str]) -> dict[Any, list[dict[str, Any]]]:
    """The rows of `Explanation.contributions` by item, ready for JSON."""
    because: dict[Any, list[dict[str, Any]]] = {}
    columns = (frame[name].tolist() for name in ("item_id", "history_item_id", "contribution"))
    for item, reason, contribution in zip(*columns, strict=True):
        entry = {"item_id": reason, "contribution": contribution}
        if reason in titles:
            entry["title"] = titles[reason]
        because.setdefault(item, []).append(entry)
    return because


def explain(
    asked: Asked, items: Sequence[Any] | None, top: int, titles: Mapping[Any, str]
) -> dict[str, Any]:
    """The answer of /v1/explain. items: None for the best 10."""
    model: Any = asked.served.model
    history, unknown = known_only(asked.served, asked.history)
    wanted = None
    if items is not None:
        wanted, more = known_only(asked.served, items)
        unknown += more
    answer: dict[str, Any] = {"model": asked.served.name, "version": asked.served.version}
    if wanted == []:
        return answer | {"method": "none", "items": [], "unknown": unknown}
    found = model.explain(history, wanted, top=top)
    because = grouped(found.contributions, titles)
    names = ("item_id", "score", "baseline", "error")
    explained = []
    for row in zip(*(found.totals[name].tolist() for name in names), strict=True):
        entry = dict(zip(names, row, strict=True)) | {"because": because.get(row[0], [])}
        if row[0] in titles:
            entry["title"] = titles[row[0]]
        explained.append(entry)
    return answer | {"method": found.method, "items": explained, "unknown": unknown}


def known_only(served: Served, ids: Sequence[Any]) -> tuple[list[Any], int]:
    """The distinct ids that the model knows, in their order, and the number of the others."""
    codes = served.model.items_.lookup(list(ids))
    known = [item for item, code in zip(ids, codes.tolist(), strict=True) if code >= 0]
    return [*dict.fromkeys(known)], len(ids) - len(known)


def similar(
    served: Served,
    items: Sequence[Any],
    k: int,
    exclude_items: Sequence[Any] | None,
    titles: Mapping[Any, str],
) -> dict[str, Any]:
    """The answer of /v1/similar."""
    known, unknown = known_only(served, items)
    hidden = known_only(served, exclude_items or [])[0]
    k = min(k, len(served.model.items_))
    lists: dict[Any, list[dict[str, Any]]] = {item: [] for item in known}
    if known:
        frame = served.model.similar_items(known, k, exclude_items=hidden or None)
        columns = ("item_id", "similar_item_id", "score", "rank")
        for item, other, score, rank in zip(*(frame[c].tolist() for c in columns), strict=True):
            entry = {"item_id": other, "score": score, "rank": rank}
            if other in titles:
                entry["title"] = titles[other]
            lists[item].append(entry)
    return {
        "model": served.name,
        "version": served.version,
        "items": [{"item_id": item, "similar": found} for item, found in lists.items()],
        "unknown": unknown,
    }
