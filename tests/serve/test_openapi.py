"""The OpenAPI schema: its examples are answered as it says, and its limits are those that act."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae.serve import Settings, Shelf, create_app

pytest.importorskip("fastapi", reason="the extra serve is not installed")
TestClient = pytest.importorskip("starlette.testclient").TestClient

ARROW = "application/vnd.apache.arrow.stream"
DOCUMENT = Path(__file__).parents[2] / "docs" / "serve.md"
EXAMPLES = (1, 260, 1196)
"""The item ids of the examples."""

LIMITS = {"max_k": 7, "max_history": 5, "max_batch": 3}
BEARER = {"authorization": "Bearer 0123456789"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = np.array([*EXAMPLES, *range(2, 12)])
    pairs = np.unique(np.random.default_rng(0).integers(0, (30, len(items)), (200, 2)), axis=0)
    plays = pd.DataFrame({"user_id": pairs[:, 0], "item_id": items[pairs[:, 1]]})
    return recae.EASE().fit(plays).save(tmp_path_factory.mktemp("documented") / "films")


@pytest.fixture(scope="module")
def app(folder: Path) -> Any:
    titles = {1: "Toy Story", 260: "Star Wars"}
    return create_app(
        Shelf({"films": folder}, titles=titles), settings=Settings(token="0123456789", **LIMITS)
    )


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[Any]:
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found


@pytest.fixture(scope="module")
def schema(client: Any) -> Any:
    return client.get("/openapi.json").json()


def operations(schema: Any) -> list[tuple[str, str, Any]]:
    return [(m.upper(), p, one) for p, known in schema["paths"].items() for m, one in known.items()]


def address(path: str, operation: Any) -> str:
    """The address of the examples of the parameters."""
    for one in operation.get("parameters", []):
        path = path.replace(f"{{{one['name']}}}", str(one.get("example")))
    return path


def body(operation: Any) -> dict[str, Any]:
    if "requestBody" not in operation:
        return {}
    return {"json": operation["requestBody"]["content"]["application/json"]["example"]}


def fits(schema: Any, operation: Any, response: Any) -> None:
    """Raises for a body that does not have the form that the schema gives for its status."""
    validator = pytest.importorskip("jsonschema_rs", reason="schemathesis is not installed")
    kind = operation["responses"][str(response.status_code)].get("content")
    if kind is not None:
        form = kind["application/json"]["schema"]
        whole = {**form, "components": schema["components"]}
        validator.Draft202012Validator(whole).validate(response.json())


def test_every_example_is_answered_in_the_form_of_the_schema(client: Any, schema: Any) -> None:
    for method, path, operation in operations(schema):
        place = address(path, operation)
        response = client.request(method, place, headers=BEARER, **body(operation))
        assert response.status_code == 200, (place, response.text)
        fits(schema, operation, response)


def test_the_examples_have_known_items_and_the_number_asked_for(client: Any, schema: Any) -> None:
    found = {
        operation["operationId"]: client.request(
            method, address(path, operation), headers=BEARER, **body(operation)
        ).json()
        for method, path, operation in operations(schema)
        if "requestBody" in operation
    }
    assert found["recommend"]["unknown"] == 0 and len(found["recommend"]["items"]) == 5
    assert [len(one["items"]) for one in found["recommend_batch"]["answers"]] == [3, 3]
    assert [one["item_id"] for one in found["similar"]["items"]] == [1, 260]
    assert [len(one["similar"]) for one in found["similar"]["items"]] == [3, 3]
    assert [one["item_id"] for one in found["explain"]["items"]] == [1196]
    assert [len(one["because"]) for one in found["explain"]["items"]] == [2]
    assert found["infer"]["id"] == "42" and found["infer"] == found["infer_version"]
    assert {one["name"]: one["shape"] for one in found["infer"]["outputs"]} == {
        **{"item_id": [2, 3], "score": [2, 3]},
        "length": [2],
    }


def test_examples_for_ids_that_are_texts_are_answered_too(places: dict[str, Path]) -> None:
    with TestClient(create_app(Shelf({"words": places["words"]}))) as client:
        schema = client.get("/openapi.json").json()
        for method, path, operation in operations(schema):
            response = client.request(method, address(path, operation), **body(operation))
            assert response.status_code == (403 if operation["operationId"] == "reload" else 200)
            fits(schema, operation, response)


def test_answers_have_a_type_that_the_schema_names(client: Any, schema: Any) -> None:
    for path, given in (
        ("/v1/recommend:batch", {"headers": {**BEARER, "accept": ARROW}}),
        ("/v2/models/films/infer", {"binary": True}),
    ):
        place = path.replace("films", "{name}")
        operation = schema["paths"][place]["post"]
        example = body(operation)["json"]
        if given.pop("binary", False):
            example = {**example, "parameters": {"binary_data_output": True}}
        response = client.post(path, json=example, **{"headers": BEARER, **given})
        assert response.headers["content-type"] != "application/json"
        assert response.headers["content-type"] in operation["responses"]["200"]["content"]


def test_the_token_is_needed_exactly_where_the_schema_says(client: Any, schema: Any) -> None:
    for method, path, operation in operations(schema):
        response = client.request(method, address(path, operation), **body(operation))
        assert (response.status_code == 401) == ("security" in operation), path
        assert ("401" in operation["responses"]) == ("security" in operation), path
        fits(schema, operation, response)


def test_a_service_without_a_token_asks_for_none(folder: Path) -> None:
    with TestClient(create_app(Shelf({"films": folder}))) as client:
        schema = client.get("/openapi.json").json()
        assert "securitySchemes" not in schema["components"]
        for method, path, operation in operations(schema):
            assert "security" not in operation
            response = client.request(method, address(path, operation), **body(operation))
            assert response.status_code == (403 if operation["operationId"] == "reload" else 200)
            fits(schema, operation, response)


def test_every_address_of_the_interface_is_in_the_schema(app: Any, schema: Any) -> None:
    found = {
        (method, route.path)
        for route in app.routes
        for method in route.methods - {"HEAD"}
        if route.path.startswith(("/v1", "/v2/", "/v2")) and route.path != "/v2/"
    }
    assert found == {(method, path) for method, path, _ in operations(schema)}


def test_every_error_has_a_form_and_every_name_is_there_once(schema: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    for _, path, operation in operations(schema):
        assert "500" in operation["responses"]
        assert ("408" in operation["responses"]) == ("requestBody" in operation)
        for status, answer in operation["responses"].items():
            if status == "200":
                continue
            wanted = "Failed" if path.startswith("/v2") else "Error"
            reference = answer["content"]["application/json"]["schema"]["$ref"]
            assert reference == f"#/components/schemas/{wanted}"
            assert ("Retry-After" in answer.get("headers", {})) == (status in ("429", "503"))
    references = set(json.dumps(schema).split('"$ref": "')[1:])
    for one in {reference.partition('"')[0] for reference in references}:
        assert one.removeprefix("#/components/schemas/") in schema["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "kind", "field", "least", "most"),
    [
        ("/v1/recommend", "RecommendBody", "k", {"history": [1]}, 7),
        ("/v1/recommend", "RecommendBody", "history", {}, 5),
        ("/v1/recommend:batch", "BatchBody", "requests", {}, 3),
        ("/v1/similar", "SimilarBody", "k", {"items": [1]}, 7),
        ("/v1/similar", "SimilarBody", "items", {}, 3),
        ("/v1/similar", "SimilarBody", "exclude_items", {"items": [1]}, 5),
        ("/v1/explain", "ExplainBody", "history", {}, 5),
        ("/v1/explain", "ExplainBody", "items", {"history": [1]}, 7),
    ],
)
def test_the_limits_of_the_schema_are_those_of_the_service(
    client: Any, schema: Any, path: str, kind: str, field: str, least: Any, most: int
) -> None:
    declared = schema["components"]["schemas"][kind]["properties"][field]
    limits = {
        one.get("maxItems", one.get("maximum"))
        for one in declared.get("anyOf", [declared])
        if one.get("type") != "null"
    }
    assert limits == {most} and declared.get("default") in (None, most)
    element: Any = {"history": [1]} if field == "requests" else 1
    for number, status in ((most, 200), (most + 1, 422)):
        value = number if field == "k" else [element] * number
        response = client.post(path, json={**least, field: value}, headers=BEARER)
        assert response.status_code == status, response.text
        if status == 422:
            assert response.json()["error"]["parameter"] == field


def test_the_query_of_a_batch_is_for_the_requests_that_do_not_say_otherwise(client: Any) -> None:
    requests = [{"history": [1, 260]}, {"history": [1, 260], "k": 2, "exclude_seen": True}]
    query = "k=3&exclude_seen=false&model=films"
    response = client.post(
        f"/v1/recommend:batch?{query}", json={"requests": requests}, headers=BEARER
    )
    answers = response.json()["answers"]
    for one, given in zip(answers, ({"k": 3, "exclude_seen": False}, {"k": 2}), strict=True):
        alone = client.post(
            "/v1/recommend", json={"history": [1, 260], **given}, headers=BEARER
        ).json()
        assert [item["item_id"] for item in one["items"]] == [
            item["item_id"] for item in alone["items"]
        ]
    for query, status, parameter in (
        ("k=8", 422, "k"),
        ("k=0", 422, "k"),
        ("exclude_seen=1", 422, "exclude_seen"),
        ("model=none", 404, "model"),
        ("top=1", 422, "top"),
    ):
        response = client.post(
            f"/v1/recommend:batch?{query}", json={"requests": requests}, headers=BEARER
        )
        assert (response.status_code, response.json()["error"]["parameter"]) == (status, parameter)


def test_the_table_of_the_documents_names_every_address_and_its_statuses(
    app: Any, schema: Any
) -> None:
    rows: dict[tuple[str, str], set[str]] = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"\| `(GET|POST) (/\S*)` \|.*\| ([\d ]*)\|", line)
        if found:
            rows[found[1], found[2]] = set(found[3].split())
    routes = {
        (method, route.path)
        for route in app.routes
        for method in route.methods - {"HEAD"}
        if not route.path.startswith("/page/") and route.path != "/v2/"
    }
    assert {*rows} == routes | {("GET", "/metrics")}
    for method, path, operation in operations(schema):
        assert rows[method, path] == {*operation["responses"]} - {"200", "500"}, path
