"""The service: takes a body, finds the model and the history, and has the answer made in turn."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from recae.errors import StoreError
from recae.serve import answers
from recae.serve.answers import Asked, check_ids
from recae.serve.arrow import as_answers, as_stream, of_answers, read_histories
from recae.serve.arrow import recommend as recommend_table
from recae.serve.batching import Together
from recae.serve.histories import look_up
from recae.serve.observing import told
from recae.serve.reading import ARROW, media_type, parsed, read
from recae.serve.refusals import JSON, Refused, invalid, unavailable
from recae.serve.rules import rules_of
from recae.serve.schemas import BatchBody, ExplainBody, RecommendBody, SimilarBody
from recae.serve.settings import Settings
from recae.serve.shelf import Served, Shelf
from recae.serve.stores import HistoryStore
from recae.serve.titles import Shelved
from recae.serve.turns import Threads, Turns


class Service:
    """What the endpoints share. closing: set it to refuse readiness and new work with 503."""

    def __init__(self, shelf: Shelf, store: HistoryStore | None, settings: Settings) -> None:
        self.shelf, self.store, self.settings = shelf, store, settings
        self.turns = Turns(settings.waiting, settings.retry_after)
        self.threads = Threads(settings.threads, settings.waiting_batches, settings.retry_after)
        self.titles, self.closing = Shelved(), False
        self.together = Together(self.turns, settings) if settings.batch_wait else None

    # What every request goes through.

    def deadline(self) -> float:
        """The time at which a request that comes now is too old, on the clock of the loop."""
        return asyncio.get_running_loop().time() + self.settings.timeout

    def admit(self, request: Request, *, always: bool = False) -> None:
        """Raises Refused for a wrong or missing token (401), and while closing (503).

        always: a token is needed even where the service has none (403).
        """
        token = self.settings.token
        if token is None and always:
            raise Refused(403, "no_token", "this service has no token, so nobody may do this: set "
                          "RECAE_TOKEN and start it again")  # fmt: skip
        if token is not None:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            scheme, _, rest = given.partition(b" ")
            fits = hmac.compare_digest(rest.strip(), token.encode())
            if not fits or scheme.lower() != b"bearer":
                raise Refused(401, "unauthorized", "this service needs the header Authorization: "
                              "Bearer TOKEN", headers={"www-authenticate": "Bearer"})  # fmt: skip
        if self.closing:
            raise unavailable("closing", "the service is shutting down", self.settings.retry_after)

    async def body(self, request: Request, kind: Any) -> tuple[Any, float]:
        """The body of a request as a class of `schemas`, and its deadline."""
        self.admit(request)
        check_query(request.query_params, ())
        media_type(request)
        deadline = self.deadline()
        return parsed(kind, await read(request, self.settings.max_body, deadline)), deadline

    def served(self, name: str | None, user: Any = None) -> Served:
        """The model of a name, or the one for a user. Raises Refused (404) for an unknown name."""
        if name is not None and name not in self.shelf.names():
            raise Refused(404, "unknown_model", f"no model {name!r} is served. Known: "
                          f"{', '.join(self.shelf.names())}", "model")  # fmt: skip
        return self.shelf.get(name, user)

    def check_k(self, k: int, parameter: str = "k") -> None:
        """Raises Refused (422) for more items than the service gives."""
        if k > self.settings.max_k:
            raise invalid(f"{parameter} is {k:,}; this service gives at most "
                          f"{self.settings.max_k:,}", parameter)  # fmt: skip

    def k_of(self, body: Any, place: str = "") -> int:
        """The items of a list that a body asks for. Raises Refused (422) for too many."""
        if "k" not in body.model_fields_set:
            return self.settings.usual_k
        self.check_k(body.k, f"{place}k")
        return int(body.k)

    def asked(self, body: Any, place: str = "") -> Asked:
        """The checked request of a body; its history is empty where the store has to be asked."""
        served = self.served(body.model, body.user)
        k = self.k_of(body, place)
        if body.history is None and body.user is None:
            raise invalid(
                "history or user must be given; an empty history is that of a newcomer",
                f"{place}history",
            )
        history = body.history or []
        check_ids(history, served, f"{place}history", self.settings.max_history)
        told(model=served.name, version=served.version, k=k, history=len(history))
        rules = (
            None if body.rules is None else rules_of(body.rules, served, f"{place}rules", body.user)
        )
        return Asked(served, history, k, body.exclude_seen, rules, body.user, body.explain)

    def with_histories(self, several: Sequence[Asked], missing: Sequence[bool]) -> list[Asked]:
        """The requests with the histories of the store, where they are missing. In a thread."""
        filled = list(several)
        by_model: dict[int, list[int]] = {}
        for place, asked in enumerate(several):
            if missing[place]:
                by_model.setdefault(id(asked.served), []).append(place)
        for places in by_model.values():
            items = several[places[0]].served.model.items_
            users = [several[place].user for place in places]
            if len({isinstance(user, str) for user in users}) > 1:
                raise invalid("the users of a batch must be all integers or all texts", "user")
            found = look_up(self.store, users, items, on_failure=self.settings.store_failure)
            for place, one in zip(places, found, strict=True):
                history = one.history
                if len(history) > self.settings.max_history:
                    raise StoreError("a history of the store is longer than this service takes")
                filled[place] = answers.with_history(several[place], history, one.notes)
        return filled

    # The endpoints of version 1.

    async def recommend(self, request: Request) -> Response:
        """POST /v1/recommend"""
        body, deadline = await self.body(request, RecommendBody)
        asked = self.asked(body)
        if body.history is None:
            (asked,) = await self.threads.run(
                lambda: self.with_histories([asked], [True]), deadline
            )
            told(history=len(asked.history))
        titles = self.titles.of(asked.served).by_id
        if asked.explain:
            work = self.threads.run(lambda: answers.recommend(asked, titles), deadline)
        elif self.together is not None and asked.rules is None:
            work = self.together.run(asked, titles, deadline)
        else:
            work = self.turns.run(lambda: answers.recommend(asked, titles), deadline)
        answer = await work
        told(users=1, unknown=answer["unknown"])
        return as_json(answer)

    async def batch(self, request: Request) -> Response:
        """POST /v1/recommend:batch, with JSON or an Arrow stream, which the answer is too unless
        the header Accept asks for the other."""
        self.admit(request)
        kind, deadline = media_type(request, (JSON, ARROW)), self.deadline()
        body = await read(request, self.settings.max_batch_body, deadline)
        accept = request.headers.get("accept", "").lower()
        other = ARROW if kind == JSON else JSON
        wanted = other if other in accept and kind not in accept else kind
        make = self._of_stream if kind == ARROW else self._of_json
        query = dict(request.query_params)
        content = await self.threads.run(lambda: make(body, query, wanted == ARROW), deadline)
        return Response(content, media_type=wanted)

    def _of_json(self, body: bytes, query: Mapping[str, str], arrow: bool) -> bytes:
        """The answer to a batch in JSON. In a thread, for it may be long."""
        given = self.batch_options(query)
        requests = parsed(BatchBody, body).requests
        self.check_batch(len(requests))
        if given:  # for the requests that do not say otherwise
            requests = [
                one.model_copy(update={n: given[n] for n in {*given} - one.model_fields_set})
                for one in requests
            ]
        several = [self.asked(one, f"requests.{n}.") for n, one in enumerate(requests)]
        filled = self.with_histories(several, [one.history is None for one in requests])
        titles = [self.titles.of(one.served).by_id for one in filled]
        found = answers.recommend_together(filled, titles)
        told(users=len(found), unknown=sum(answer["unknown"] for answer in found))
        if not arrow:
            return orjson.dumps({"answers": found})
        users = [n if one.user is None else one.user for n, one in enumerate(requests)]
        return as_stream(of_answers(users, found))

    def _of_stream(self, body: bytes, query: Mapping[str, str], arrow: bool) -> bytes:
        """The answer to an Arrow stream. In a thread."""
        given = self.batch_options(query)
        name = given.get("model")
        histories = read_histories(body, self.settings)
        table = recommend_table(
            histories,
            lambda user: self.served(name, user),
            given.get("k", self.settings.usual_k),
            given.get("exclude_seen", True),
        )
        return as_stream(table) if arrow else orjson.dumps({"answers": as_answers(table)})

    def batch_options(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of the query of a batch: k, model, exclude_seen; those that are given."""
        check_query(query, ("exclude_seen", "k", "model"))
        given: dict[str, Any] = dict(query)
        if "k" in given:
            text = given["k"]
            if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
                raise invalid("k must be an integer >= 1", "k")
            given["k"] = int(text)
            self.check_k(given["k"])
        if "exclude_seen" in given:
            if given["exclude_seen"] not in ("true", "false"):
                raise invalid("exclude_seen must be true or false", "exclude_seen")
            given["exclude_seen"] = given["exclude_seen"] == "true"
        self.served(given.get("model"))  # an unknown name is refused before anything is read
        return given

    def check_batch(self, users: int, parameter: str = "requests") -> None:
        """Raises Refused (422) for more users than a batch may have."""
        if users > self.settings.max_batch:
            raise invalid(f"{parameter} has {users:,} users; this service takes at most "
                          f"{self.settings.max_batch:,} at once", parameter)  # fmt: skip

    async def similar(self, request: Request) -> Response:
        """POST /v1/similar"""
        body, deadline = await self.body(request, SimilarBody)
        served = self.served(body.model)
        k = self.k_of(body)
        check_ids(body.items, served, "items", self.settings.max_batch)
        told(model=served.name, version=served.version, k=k)
        check_ids(body.exclude_items or [], served, "exclude_items", self.settings.max_history)
        titles = self.titles.of(served).by_id

        def work() -> dict[str, Any]:
            return answers.similar(served, body.items, k, body.exclude_items, titles)

        return as_json(await self.threads.run(work, deadline))

    async def explain(self, request: Request) -> Response:
        """POST /v1/explain"""
        body, deadline = await self.body(request, ExplainBody)
        plain = {"history": body.history, "user": body.user, "model": body.model, "k": 1}
        asked = self.asked(RecommendBody.model_construct(**plain))
        check_ids(body.items or [], asked.served, "items", self.settings.max_explained)
        titles = self.titles.of(asked.served).by_id

        def work() -> dict[str, Any]:
            (filled,) = self.with_histories([asked], [body.history is None])
            return answers.explain(filled, body.items, body.top, titles)

        return as_json(await self.threads.run(work, deadline))

    async def models(self, request: Request) -> Response:
        """GET /v1/models"""
        self.admit(request)
        return as_json({"models": [self.about(name) for name in self.shelf.names()]})

    def about(self, name: str) -> dict[str, Any]:
        """A model of /v1/models."""
        served, first = self.shelf.get(name), self.shelf.names()[0]
        shares = dict(self.shelf.shares)
        rest = 1.0 - sum(shares.values())
        return {
            "name": name,
            "kind": type(served.model).__name__,
            "version": served.version,
            "items": len(served.model.items_),
            "ids": served.model.items_.kind,
            "columns": [] if served.titles is None else [str(c) for c in served.titles.columns],
            "default": name == first,
            "share": shares.get(name, max(rest, 0.0) if name == first else 0.0),
            "loaded_at": served.loaded_at.isoformat(),
        }

    async def reload(self, request: Request) -> Response:
        """POST /v1/models/{name}:reload"""
        self.admit(request, always=True)
        name = self.served(request.path_params["name"]).name
        await self.threads.run(lambda: self.shelf.reload(name), self.deadline())
        return as_json(self.about(name))

    async def items(self, request: Request) -> Response:
        """GET /v1/items"""
        self.admit(request)
        query = request.query_params
        check_query(query, ("limit", "model", "q"))
        text, limit = query.get("q", ""), query.get("limit", "20")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= 100):
            raise invalid("limit must be an integer from 1 to 100", "limit")
        served = self.served(query.get("model"))
        text = text.encode("utf-8", "replace").decode()[:200]

        def work() -> list[dict[str, Any]]:
            return self.titles.of(served).search(text, int(limit))

        return as_json(await self.threads.run(work, self.deadline()))


def as_json(answer: Any) -> Response:
    """A response with status 200."""
    return Response(orjson.dumps(answer), media_type=JSON)


def check_query(query: Mapping[str, str], known: Sequence[str]) -> None:
    """Raises Refused (422) for a parameter of the query that is not known."""
    for name in query:
        if name not in known:
            listed = ", ".join(known) or "none; the body has all fields"
            raise invalid(f"unknown parameter {name}. Known: {listed}", name)
