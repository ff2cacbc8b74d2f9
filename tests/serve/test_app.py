"""The service answers with the lists of its model, and refuses the rest in one form."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

from evaluation.serve.serve_fuzz import fault, fuzzed
from recae.serve import Settings, Shelf, create_app

JSON = {"content-type": "application/json"}


def test_lists_are_those_of_the_model(client: Any, ease: Any) -> None:
    answer = client.post("/v1/recommend", json={"history": [1, 2, 3, 999], "k": 4}).json()
    frame = ease.recommend(history=[1, 2, 3], k=4)
    assert [item["item_id"] for item in answer["items"]] == frame["item_id"].tolist()
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    scores = [item["score"] for item in answer["items"]]
    np.testing.assert_allclose(scores, frame["score"], rtol=1e-5)
    assert answer["model"] == "ease" and answer["version"] == ease.fingerprint()
    assert answer["unknown"] == 1 and answer["notes"] == []
    for item in answer["items"]:
        even = item["item_id"] % 2 == 0
        assert item.get("title") == (f"Film {item['item_id']}" if even else None)


def test_a_short_list_says_so_and_seen_items_may_come_back(client: Any) -> None:
    body = {"history": [1, 2, 3], "k": 50}
    without = client.post("/v1/recommend", json=body).json()
    assert len(without["items"]) == 27
    assert {note["rule"] for note in without["notes"]} == {"short"}
    seen = client.post("/v1/recommend", json={**body, "exclude_seen": False}).json()
    assert len(seen["items"]) == 30


def test_a_newcomer_gets_popular_items(client: Any, ease: Any) -> None:
    answer = client.post("/v1/recommend", json={"history": [], "k": 3}).json()
    best = sorted(zip(-ease.item_counts_, ease.items_.ids.tolist(), strict=True))[:3]
    assert [item["item_id"] for item in answer["items"]] == [item for _, item in best]


def test_reasons_need_a_known_item_and_count_unknown_ones(client: Any) -> None:
    for history, unknown in ([], 0), ([900], 1), ([900, 901, 902], 3), ([1, 900, 1], 1):
        answer = client.post("/v1/recommend", json={"history": history, "k": 2, "explain": 3})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["unknown"] == unknown and len(body["items"]) == 2
        reasons = {reason["item_id"] for item in body["items"] for reason in item["because"]}
        assert reasons == {1} & set(history)


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        ({"history": ["a"]}, 422, "history"),
        ({"history": [1, "a"]}, 422, "history.1"),
        ({"history": [True]}, 422, "history.0"),
        ({"history": [1.0]}, 422, "history.0"),
        ({"history": [None]}, 422, "history.0"),
        ({"history": [2**63]}, 422, "history.0"),
        ({"history": {"0": 1}}, 422, "history"),
        ({"history": "12"}, 422, "history"),
        ({"history": [1] * 101}, 422, "history"),
        ({"history": [1], "k": 0}, 422, "k"),
        ({"history": [1], "k": 51}, 422, "k"),
        ({"history": [1], "k": True}, 422, "k"),
        ({"history": [1], "k": "5"}, 422, "k"),
        ({"history": [1], "k": None}, 422, "k"),
        ({"history": [1], "k": 1e3}, 422, "k"),
        ({"history": [1], "explain": 21}, 422, "explain"),
        ({"history": [1], "exclude_seen": 1}, 422, "exclude_seen"),
        ({"history": [1], "K": 5}, 422, "K"),
        ({"history": [1], "model": "none"}, 404, "model"),
        ({"history": [1], "model": 3}, 422, "model"),
        ({"user": 3}, 422, "user"),
        ({"user": 1.5}, 422, "user"),
        ({}, 422, "history"),
        ([], 422, None),
        (7, 422, None),
    ],
)
def test_what_is_impossible_is_refused_with_the_field(
    client: Any, body: Any, status: int, parameter: str | None
) -> None:
    response = client.post("/v1/recommend", json=body)
    error = response.json()["error"]
    assert (response.status_code, error.get("parameter")) == (status, parameter)
    assert error["code"] and error["message"] and {*error} <= {"code", "message", "parameter"}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff\xfe", b'{"history": ["\xff"]}', b"[" * 3000, b'{"a":' * 600),
        *(b'{"history": ["\\ud800"]}', b'{"history": [1' + b"0" * 3000 + b"]}", b"{'k': 1}"),
        *(b'{"history": [NaN]}', b'{"history": [1],}', b"\xef\xbb\xbf{}", b"\0"),
    ],
)
def test_what_is_no_json_is_refused(client: Any, body: bytes) -> None:
    response = client.post("/v1/recommend", content=body, headers=JSON)
    assert response.status_code in (400, 422)  # NaN is read, and is no id
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "Infinity", "-0", "1E5", "0x1"])
@pytest.mark.parametrize("field", ["history", "k", "user"])
def test_strange_numbers_are_no_fault_of_the_service(client: Any, field: str, number: str) -> None:
    value = f"[{number}]" if field == "history" else number
    body = f'{{"{field}": {value}}}'.encode()
    response = client.post("/v1/recommend", content=body, headers=JSON)
    assert response.status_code in ((200, 422) if number == "-0" else (400, 422))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "Application/JSON"}, 200),
    ],
)
def test_only_plain_json_is_read(client: Any, headers: dict[str, str], status: int) -> None:
    response = client.post("/v1/recommend", content=b'{"history": [1]}', headers=headers)
    assert response.status_code == status


def test_a_large_body_is_refused_with_and_without_its_length(client: Any) -> None:
    body = b'{"history": [1' + b" " * 5000 + b"]}"

    def parts() -> Any:  # sent in chunks, without Content-Length
        yield from (body[:2000], body[2000:4500], body[4500:])

    for content in (body, parts()):
        response = client.post("/v1/recommend", content=content, headers=JSON)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/v1/recommend", 405), ("OPTIONS", "/v1/recommend", 405), ("PUT", "/v1/x", 404)),
        *(("HEAD", "/v1/models", 200), ("DELETE", "/v1/models", 405), ("GET", "/docs", 404)),
        *(("GET", "/v2/models/none", 404), ("POST", "/v2/health/live", 405), ("GET", "/v1", 404)),
    ],
)
def test_other_methods_and_paths(client: Any, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    if status == 405:
        assert response.headers["allow"]
    if method != "HEAD":
        assert response.json()["error"]


@pytest.mark.parametrize("path", ["recommend", "similar", "explain"])
def test_a_query_that_would_do_nothing_is_refused(client: Any, path: str) -> None:
    body = {"items" if path == "similar" else "history": [1]}
    assert client.post(f"/v1/{path}", json=body).status_code == 200
    response = client.post(f"/v1/{path}?k=3", json=body)
    assert (response.status_code, response.json()["error"]["parameter"]) == (422, "k")


def test_the_token_opens_the_service(places: Any) -> None:
    client = pytest.importorskip("starlette.testclient").TestClient
    app = create_app(Shelf({"ease": places["ease"]}), settings=Settings(token="0123456789"))
    with client(app) as closed:
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/ease/ready"):
            assert closed.get(path).status_code == 200
        for given in (None, "Bearer", "Bearer 012345678", "0123456789", "Basic 0123456789"):
            headers = {} if given is None else {"authorization": given}
            for method, path in (("GET", "/v1/models"), ("POST", "/v1/models/ease:reload")):
                response = closed.request(method, path, headers=headers)
                assert response.status_code == 401
                assert response.headers["www-authenticate"] == "Bearer"
            assert closed.post("/v1/recommend", json={}, headers=headers).status_code == 401
        headers = {"authorization": "bearer 0123456789"}
        before = closed.get("/v1/models", headers=headers).json()["models"][0]["loaded_at"]
        after = closed.post("/v1/models/ease:reload", headers=headers).json()["loaded_at"]
        assert before < after
        assert closed.post("/v1/models/none:reload", headers=headers).status_code == 404


def test_nobody_reloads_without_a_token(client: Any) -> None:
    assert client.post("/v1/models/ease:reload").status_code == 403


def test_a_service_that_closes_says_so(places: Any) -> None:
    client = pytest.importorskip("starlette.testclient").TestClient
    app = create_app(Shelf({"ease": places["ease"]}))
    with client(app) as closing:
        app.state.service.closing = True
        for path in ("/v1/models", "/v2/health/ready", "/v2/models/ease"):
            response = closing.get(path)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
        assert closing.get("/v2/health/live").status_code == 200


def test_a_fault_of_the_service_is_not_shown(places: Any, monkeypatch: Any) -> None:
    client = pytest.importorskip("starlette.testclient").TestClient
    app = create_app(Shelf({"ease": places["ease"]}))
    monkeypatch.setattr(app.state.service.shelf, "names", lambda: 1 / 0)
    with client(app, raise_server_exceptions=False) as broken:
        response = broken.get("/v1/models")
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal"
        assert "division" not in response.text


def test_fuzzed_bodies_are_answered_or_refused_in_one_form(client: Any) -> None:
    rng, statuses = random.Random(0), set()
    for _ in range(300):
        path, body, kind = fuzzed(rng)
        response = client.post(path, content=body, headers={"content-type": kind})
        assert fault(path, response.status_code, response.content) is None, (path, body)
        statuses.add(response.status_code)
    assert statuses == {200, 400, 422}


def test_a_fault_of_an_answer_is_seen() -> None:
    right = b'{"error": {"code": "invalid", "message": "k is 0", "parameter": "k"}}'
    assert fault("/v1/recommend", 422, right) is None
    assert fault("/v2/models/a/infer", 400, b'{"error": "the shape is wrong"}') is None
    for status, body in ((500, right), (503, right), (422, b""), (422, b"[]"), (422, b"{}"),
                         (422, b'{"error": "text"}'), (422, b'{"error": {"code": "x"}}'),
                         (422, right[:-3] + b", 1}}"), (404, b"Not Found")):  # fmt: skip
        assert fault("/v1/recommend", status, body) is not None
    assert fault("/v2/models/a/infer", 400, right) is not None
