"""Each endpoint of version 1 beside the method of the model that it stands for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from recae.errors import ConfigError, StoreError
from recae.serve import Settings, Shelf, create_app

pytest.importorskip("fastapi", reason="the extra serve is not installed")
TestClient = pytest.importorskip("starlette.testclient").TestClient

from recae.serve import schemas  # noqa: E402

ARROW = "application/vnd.apache.arrow.stream"


class Kept:
    """A store of two users; it is down for user 9."""

    def histories(self, users: Sequence[Any]) -> dict[Any, list[Any]]:
        if 9 in users:
            raise StoreError("down", retry_after=7.0)
        return {user: [1, 2, 3] for user in users if user in (1, 2)}

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def stored(places: Any) -> Any:
    with TestClient(create_app(Shelf({"ease": places["ease"]}), store=Kept())) as client:
        yield client


def test_a_batch_has_the_answers_of_its_requests(client: Any) -> None:
    requests: list[dict[str, Any]] = [
        *({"history": [1, 2]}, {"history": []}, {"history": [4, 4, 99], "k": 3}),
        *({"history": [5], "exclude_seen": False}, {"history": [1, 2, 7]}),
    ]
    batch = client.post("/v1/recommend:batch", json={"requests": requests}).json()["answers"]
    for request, answer in zip(requests, batch, strict=True):
        alone = client.post("/v1/recommend", json=request).json()
        scores = [[item.pop("score") for item in one["items"]] for one in (answer, alone)]
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-7)
        assert answer == alone


@pytest.mark.parametrize(
    ("requests", "parameter"),
    [
        ([{"history": [1]}, {"history": ["a"]}], "requests.1.history"),
        ([{"history": [1]}, {"history": [1], "x": 1}], "requests.1.x"),
        ([{"history": [1], "k": 99}], "requests.0.k"),
        ([{}], "requests.0.history"),
        ([{"history": [1]}] * 21, "requests"),
        ([3], "requests.0"),
        ({}, "requests"),
    ],
)
def test_one_invalid_request_refuses_the_batch(client: Any, requests: Any, parameter: str) -> None:
    response = client.post("/v1/recommend:batch", json={"requests": requests})
    assert response.status_code == 422
    assert response.json()["error"]["parameter"] == parameter


def stream(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_an_arrow_stream_has_the_rows_of_recommend(client: Any, ease: Any) -> None:
    frame = pd.DataFrame({"user_id": ["b", "b", "a", "a"], "item_id": [1, 2, 3, 3]})
    response = client.post(
        "/v1/recommend:batch?k=3", content=stream(frame), headers={"content-type": ARROW}
    )
    assert response.headers["content-type"] == ARROW
    found = pa.ipc.open_stream(response.content).read_all()
    assert found.schema.types == [pa.string(), pa.int64(), pa.float32(), pa.int32()]
    expected = ease.recommend(history=frame.drop_duplicates(), k=3)
    pd.testing.assert_frame_equal(found.to_pandas(), expected, check_dtype=False)


@pytest.mark.parametrize("k", ["0", "51", "x", "-1", "1e3", ""])
def test_a_stream_with_an_impossible_k_is_refused(client: Any, k: str) -> None:
    content = stream(pd.DataFrame({"user_id": [1], "item_id": [1]}))
    response = client.post(
        f"/v1/recommend:batch?k={k}", content=content, headers={"content-type": ARROW}
    )
    assert (response.status_code, response.json()["error"]["parameter"]) == (422, "k")


def test_json_and_arrow_mix_by_accept(client: Any) -> None:
    requests = {"requests": [{"history": [1], "user": "u", "k": 2}, {"history": [2], "user": "v"}]}
    as_json = client.post("/v1/recommend:batch", json=requests).json()["answers"]
    response = client.post("/v1/recommend:batch", json=requests, headers={"accept": ARROW})
    rows = pa.ipc.open_stream(response.content).read_all().to_pylist()
    items = [(u, i["item_id"]) for u, a in zip("uv", as_json, strict=True) for i in a["items"]]
    assert [(row["user_id"], row["item_id"]) for row in rows] == items
    content = stream(pd.DataFrame({"user_id": [7, 7], "item_id": [1, 2]}))
    headers = {"content-type": ARROW, "accept": "application/json"}
    (answer,) = client.post("/v1/recommend:batch", content=content, headers=headers).json()[
        "answers"
    ]
    assert answer["user"] == 7 and len(answer["items"]) == 10


def test_similar_items_are_those_of_the_model(client: Any, ease: Any) -> None:
    body = {"items": [4, 999, 1], "k": 3, "exclude_items": [2, 777]}
    answer = client.post("/v1/similar", json=body).json()
    assert answer["unknown"] == 1
    frame = ease.similar_items([4, 1], 3, exclude_items=[2])
    found = [(one["item_id"], s["item_id"]) for one in answer["items"] for s in one["similar"]]
    assert found == [*zip(frame["item_id"], frame["similar_item_id"], strict=True)]


def test_models_say_what_they_are(client: Any, ease: Any) -> None:
    (one,) = client.get("/v1/models").json()["models"]
    about = {name: one[name] for name in ("name", "kind", "items", "ids", "default", "share")}
    assert about == {
        **{"name": "ease", "kind": "EASE", "items": 30, "ids": "int", "default": True},
        "share": 1.0,
    }


@pytest.mark.parametrize("history", [[], [999]])
def test_nothing_explains_a_history_without_known_items(client: Any, history: list[int]) -> None:
    response = client.post("/v1/explain", json={"history": history})
    assert (response.status_code, response.json()["error"]["parameter"]) == (422, "history")
    assert "on_unknown" not in response.text  # which nobody can send


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        ({"shelf": None}, "shelf"),
        ({"shelf": "model"}, "shelf"),
        ({"store": "parquet:plays.parquet"}, "store"),
        ({"settings": {}}, "settings"),
        ({"token": "x"}, "token"),
    ],
)
def test_a_service_is_made_of_what_it_needs(
    places: Any, wrong: dict[str, Any], parameter: str
) -> None:
    given = {"shelf": Shelf({"ease": places["ease"]}), **wrong}
    with pytest.raises(ConfigError) as caught:
        create_app(**given)
    assert caught.value.parameter == parameter


def test_an_item_that_nothing_leads_to_has_no_score(tmp_path: Path) -> None:
    pairs = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 3, 4]})
    place = recae.ItemKNN().fit(pairs).save(tmp_path / "knn")
    with TestClient(create_app(Shelf({"knn": place}))) as client:
        body = {"history": [1], "items": [2, 3]}
        near, far = client.post("/v1/explain", json=body).json()["items"]
        assert near["score"] > 0 and far["score"] is far["baseline"] is None
        schemas.Explained.model_validate(far)


@pytest.mark.parametrize("rules", [{"block": ["a"]}, {"at_most": 0}, {"x": 1}])
def test_a_wrong_rule_is_named_by_its_place(client: Any, rules: dict[str, Any]) -> None:
    response = client.post("/v1/recommend", json={"history": [1], "rules": rules})
    assert response.status_code == 422
    assert response.json()["error"]["parameter"].startswith("rules.")


def test_titles_are_searched(client: Any) -> None:
    rows = client.get("/v1/items", params={"q": "fILM 2", "limit": 100}).json()
    assert {row["title"] for row in rows} == {f"Film {n}" for n in (2, 12, 20, 22, 24, 26, 28)}
    assert len(client.get("/v1/items", params={"q": "", "limit": 4}).json()) == 4
    for name, value in (("limit", "0"), ("limit", "101"), ("limit", "x"), ("r", "1")):
        response = client.get("/v1/items", params={name: value})
        assert (response.status_code, response.json()["error"]["parameter"]) == (422, name)


def test_histories_come_from_the_store(stored: Any) -> None:
    given = stored.post("/v1/recommend", json={"history": [1, 2, 3]}).json()
    assert stored.post("/v1/recommend", json={"user": 1}).json() == given
    stranger = stored.post("/v1/recommend", json={"user": 5}).json()
    assert stranger["items"] == stored.post("/v1/recommend", json={"history": []}).json()["items"]
    assert {note["rule"] for note in stranger["notes"]} == {"store"}
    requests = [{"user": 1}, {"history": [1, 2, 3]}, {"user": 5}]
    answers = stored.post("/v1/recommend:batch", json={"requests": requests}).json()["answers"]
    assert answers[0]["items"] == answers[1]["items"] != answers[2]["items"]


def test_a_store_that_is_down_is_503(stored: Any) -> None:
    for path, body in (
        ("/v1/recommend", {"user": 9}),
        ("/v1/recommend:batch", {"requests": [{"user": 1}, {"user": 9}]}),
    ):
        response = stored.post(path, json=body)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "7"
        assert response.json()["error"]["code"] == "store"


def test_ids_of_the_other_kind_are_refused_by_each_model(places: Any) -> None:
    with TestClient(create_app(Shelf(places))) as client:
        for model, right, wrong in (("ease", 1, "item 1"), ("words", "item 1", 1)):
            body = {"model": model, "history": [right]}
            assert client.post("/v1/recommend", json=body).json()["model"] == model
            assert client.post("/v1/similar", json={"model": model, "items": [right]}).json()
            for path, field in (("/v1/recommend", "history"), ("/v1/similar", "items")):
                response = client.post(path, json={"model": model, field: [wrong]})
                assert response.status_code == 422
                assert response.json()["error"]["parameter"] == field


def test_a_challenger_answers_its_users(places: Any) -> None:
    shelf = Shelf({"a": places["ease"], "b": places["ease"]}, shares={"b": 0.3})
    with TestClient(create_app(shelf, settings=Settings(max_batch=1000))) as client:
        requests = [{"history": [1], "user": user, "k": 1} for user in range(400)]
        answers = client.post("/v1/recommend:batch", json={"requests": requests}).json()["answers"]
        models = [answer["model"] for answer in answers]
        assert 80 <= models.count("b") <= 160  # binomial: 120 and 4.4 standard deviations
        alone = client.post("/v1/recommend", json=requests[7]).json()
        assert alone["model"] == models[7] == shelf.get(None, "7").name
        named = client.post("/v1/recommend", json={**requests[7], "model": "a"}).json()
        assert named["model"] == "a"


def test_requests_that_are_ranked_together_have_the_same_answers(places: Any, client: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bodies: list[dict[str, Any]] = [{"history": [n, n + 1], "k": 3 + n % 2} for n in range(12)]
    app = create_app(Shelf({"ease": places["ease"]}), settings=Settings(batch_wait=0.02))
    with TestClient(app) as together, ThreadPoolExecutor(12) as pool:
        found = [*pool.map(lambda body: together.post("/v1/recommend", json=body).json(), bodies)]
    for body, answer in zip(bodies, found, strict=True):
        alone = client.post("/v1/recommend", json=body).json()
        lists = [[item["item_id"] for item in one["items"]] for one in (answer, alone)]
        assert lists[0] == lists[1]
