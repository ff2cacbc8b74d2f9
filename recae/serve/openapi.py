"""The table of endpoints: the routes are made from it, and the OpenAPI schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recae.serve import schemas
from recae.serve.reading import ARROW
from recae.serve.refusals import JSON
from recae.serve.service import Service
from recae.serve.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]
PLACE = "#/components/schemas/{model}"

ERRORS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    403: "The service has no token, so this is off.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is larger than the service reads.",
    415: "The body is of another type, or compressed.",
    422: "The body can be read and says what is impossible.",
    429: "Too many requests wait; Retry-After says when to come back.",
    503: "Not now: the store is down, the service shuts down, or no answer in time.",
}
OF_BODIES = (400, 401, 404, 408, 413, 415, 422, 429, 503)


@dataclass(frozen=True)
class Endpoint:
    """An address, what it does, and what its schema says."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answer: Any = None
    body: type[BaseModel] | None = None
    parameters: Sequence[dict[str, Any]] = ()
    errors: Sequence[int] = ()
    open: bool = False
    arrow: bool = False
    fault: type[BaseModel] = field(default=schemas.Error)
    example: Any = None


def query(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    """An optional parameter of the query."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": about,
    }


MODEL_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}


def endpoints(service: Service) -> list[Endpoint]:
    """All endpoints of version 1."""
    model = query("model", {"type": "string"}, "a name of /v1/models; the default model without it")
    limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    return [
        Endpoint(
            *("POST", "/v1/recommend", "recommend", "The best items for one user"),
            *(service.recommend, schemas.Recommended, schemas.RecommendBody),
            errors=OF_BODIES,
        ),
        Endpoint(
            *("POST", "/v1/recommend:batch", "recommend_batch", "The best items for many users"),
            *(service.batch, schemas.Batch, schemas.BatchBody),
            errors=OF_BODIES,
        ),
        Endpoint(
            *("POST", "/v1/similar", "similar", "The items most similar to some"),
            *(service.similar, schemas.Similar, schemas.SimilarBody),
            errors=OF_BODIES,
        ),
        Endpoint(
            *("POST", "/v1/explain", "explain", "Why items are recommended for a history"),
            *(service.explain, schemas.Explanations, schemas.ExplainBody),
            errors=OF_BODIES,
        ),
        Endpoint(
            *("GET", "/v1/models", "models", "The models that are served"),
            *(service.models, schemas.Models),
            errors=(401, 503),
        ),
        Endpoint(
            *("POST", "/v1/models/{name}:reload", "reload", "Loads the folder of a model again"),
            *(service.reload, schemas.Model),
            parameters=(MODEL_NAME,),
            errors=(401, 403, 404, 422, 429, 503),
        ),
        Endpoint(
            *("GET", "/v1/items", "items", "Items whose titles have a text"),
            *(service.items, list[schemas.Found]),
            parameters=(
                query("q", {"type": "string"}, "a text, of any case; the empty one finds all"),
                *(model, query("limit", limit, "items, at most")),
            ),
            errors=(401, 404, 422, 429, 503),
        ),
    ]


def routes(service: Service, more: Sequence[Endpoint] = ()) -> list[Route]:
    """The routes of the endpoints, without what FastAPI would read and check a second time."""
    return [
        Route(one.path, one.handler, methods=[one.method], name=one.name)
        for one in (*endpoints(service), *more)
    ]


def schema(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 schema: operation ids, bodies, answers, errors and examples."""
    listed: Sequence[Endpoint] = endpoints(app.state.service)
    kinds: dict[type[BaseModel], None] = dict.fromkeys(one.fault for one in listed)
    for one in listed:
        element = getattr(one.answer, "__args__", (one.answer,))[0]
        kinds |= dict.fromkeys(kind for kind in (element, one.body) if kind is not None)
    refs, shared = models_json_schema([(kind, "validation") for kind in kinds], ref_template=PLACE)
    ref = {kind: refs[kind, "validation"] for kind in kinds}
    paths: dict[str, Any] = {}
    for one in listed:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, ref, settings)
    components: dict[str, Any] = {"schemas": shared["$defs"]}
    found = {
        "openapi": "3.1.0",
        "info": {
            "title": app.title,
            "version": app.version,
            "description": "Recommendations from models of recae.",
        },
        "paths": paths,
        "components": components,
    }
    if settings.token is not None:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return found


def _operation(one: Endpoint, ref: dict[Any, Any], settings: Settings) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer."}
    if one.answer is not None:
        element = getattr(one.answer, "__args__", None)
        shape = {"type": "array", "items": ref[element[0]]} if element else ref[one.answer]
        answer["content"] = {JSON: {"schema": shape}}
    fault = {JSON: {"schema": ref[one.fault]}}
    responses: dict[str, Any] = {"200": answer}
    for status in one.errors:
        responses[str(status)] = {"description": ERRORS[status], "content": fault}
        if status in (429, 503):
            responses[str(status)]["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}
            }
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "responses": responses,
    }
    if one.parameters:
        found["parameters"] = list(one.parameters)
    if one.body is not None:
        example = one.example or schemas.EXAMPLES[one.body]  # type: ignore[index]
        content: dict[str, Any] = {JSON: {"schema": ref[one.body], "example": example}}
        if one.arrow:
            content[ARROW] = {"schema": {"type": "string", "format": "binary"}}
            answer["content"][ARROW] = content[ARROW]
        found["requestBody"] = {"required": True, "content": content}
    if settings.token is not None and not one.open:
        found["security"] = [{"token": []}]
    return found
