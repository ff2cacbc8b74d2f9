"""The table of endpoints: the routes are made from it, and the OpenAPI schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from recae.serve import schemas
from recae.serve.endpoint import ERRORS, ERRORS_OF_BODIES, Endpoint, path_parameter
from recae.serve.inference import Inference
from recae.serve.reading import ARROW
from recae.serve.refusals import JSON
from recae.serve.service import Service
from recae.serve.settings import Settings

PLACE = "#/components/schemas/{model}"


def query(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    """An optional parameter of the query."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": about,
    }


UNSAID = "for an Arrow stream, and for requests in JSON that do not say it themselves"

LIMITS = {
    ("RecommendBody", "k"): "max_k",
    ("RecommendBody", "history"): "max_history",
    ("BatchBody", "requests"): "max_batch",
    ("SimilarBody", "k"): "max_k",
    ("SimilarBody", "items"): "max_batch",
    ("SimilarBody", "exclude_items"): "max_history",
    ("ExplainBody", "history"): "max_history",
    ("ExplainBody", "items"): "max_explained",
}
"""The fields that a limit of the settings bounds: the value of a number, the length of a list."""


def endpoints(service: Service) -> list[Endpoint]:
    """All endpoints; /metrics and the page are not among them."""
    model = query("model", {"type": "string"}, "a name of /v1/models; the default model without it")
    k: dict[str, Any] = {"type": "integer", "minimum": 1, "default": 10}
    bound(k, service.settings.max_k)
    name = path_parameter("name", service.shelf.names()[0])
    seen = {"type": "boolean", "default": True}
    limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    return [
        Endpoint(
            *("POST", "/v1/recommend", "recommend", "The best items for one user"),
            *(service.recommend, schemas.Recommended, schemas.RecommendBody),
            errors=ERRORS_OF_BODIES,
        ),
        Endpoint(
            *("POST", "/v1/recommend:batch", "recommend_batch", "The best items for many users"),
            *(service.batch, schemas.Batch, schemas.BatchBody),
            errors=ERRORS_OF_BODIES,
            parameters=(
                query("k", k, f"items of a list; {UNSAID}"),
                query("model", {"type": "string"}, f"a name of /v1/models; {UNSAID}"),
                query("exclude_seen", seen, f"leave out what the history has; {UNSAID}"),
            ),
            takes=ARROW,
            gives=ARROW,
        ),
        Endpoint(
            *("POST", "/v1/similar", "similar", "The items most similar to some"),
            *(service.similar, schemas.Similar, schemas.SimilarBody),
            errors=ERRORS_OF_BODIES,
        ),
        Endpoint(
            *("POST", "/v1/explain", "explain", "Why items are recommended for a history"),
            *(service.explain, schemas.Explanations, schemas.ExplainBody),
            errors=ERRORS_OF_BODIES,
        ),
        Endpoint(
            *("GET", "/v1/models", "models", "The models that are served"),
            *(service.models, schemas.Models),
            errors=(401, 503),
        ),
        Endpoint(
            *("POST", "/v1/models/{name}:reload", "reload", "Loads the folder of a model again"),
            *(service.reload, schemas.Model),
            parameters=(name,),
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
        *Inference(service).endpoints(),
    ]


def routes(service: Service) -> list[Route]:
    """The routes of the endpoints, without what FastAPI would read and check a second time."""
    return [
        Route(one.path, one.handler, methods=[one.method], name=one.name)
        for one in endpoints(service)
    ]


def schema(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 schema: operation ids, bodies, answers, errors and examples."""
    listed: Sequence[Endpoint] = endpoints(app.state.service)
    kinds: dict[type[BaseModel], None] = dict.fromkeys(one.fault for one in listed)
    for one in listed:
        element = getattr(one.answer, "__args__", (one.answer,))[0]
        kinds |= dict.fromkeys(kind for kind in (element, one.body) if kind is not None)
    refs, shared = models_json_schema([(kind, "validation") for kind in kinds], ref_template=PLACE)
    for (kind_name, field), limit in LIMITS.items():
        bound(shared["$defs"][kind_name]["properties"][field], getattr(settings, limit))
    ref = {kind: refs[kind, "validation"] for kind in kinds}
    examples = schemas.examples(app.state.service.shelf.get().model.items_.kind)
    paths: dict[str, Any] = {}
    for one in listed:
        example = one.example or examples.get(one.body)  # type: ignore[arg-type]
        described = _operation(one, ref, settings, example)
        paths.setdefault(one.path, {})[one.method.lower()] = described
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


def bound(field: dict[str, Any], most: int) -> None:
    """Writes a limit into the schema of a number or of a list, and into its default."""
    for one in field.get("anyOf", [field]):
        kind = {"integer": "maximum", "array": "maxItems"}.get(one.get("type"))
        if kind is not None:
            one[kind] = most
        if kind == "maximum" and "default" in one:
            one["default"] = min(one["default"], most)


def _operation(
    one: Endpoint, ref: dict[Any, Any], settings: Settings, example: Any
) -> dict[str, Any]:
    """One endpoint as an OpenAPI operation, with its errors and its other content types."""
    answer: dict[str, Any] = {"description": "The answer."}
    if one.answer is not None:
        element = getattr(one.answer, "__args__", None)
        shape = {"type": "array", "items": ref[element[0]]} if element else ref[one.answer]
        answer["content"] = {JSON: {"schema": shape}}
    fault = {JSON: {"schema": ref[one.fault]}}
    responses: dict[str, Any] = {"200": answer}
    for status in (*one.errors, 500):
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
        content: dict[str, Any] = {JSON: {"schema": ref[one.body], "example": example}}
        octets = {"schema": {"type": "string", "format": "binary"}}
        content |= {} if one.takes is None else {one.takes: octets}
        answer["content"] |= {} if one.gives is None else {one.gives: octets}
        found["requestBody"] = {"required": True, "content": content}
    if settings.token is not None and not one.open:
        found["security"] = [{"token": []}]
    return found
