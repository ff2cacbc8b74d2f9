"""The service answers with the lists of its model, and refuses the rest in one form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recae

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.testclient import TestClient  # noqa: E402

from recae.serve import Settings, Shelf, create_app  # noqa: E402

TITLES = {item: f"Film {item}" for item in range(0, 30, 2)}


@pytest.fixture(scope="module")
def model() -> recae.EASE:
    rng = np.random.default_rng(0)
    pairs = {(int(u), int(i)) for u, i in rng.integers(0, (40, 30), (400, 2))}
    data = recae.Interactions.from_csr(
        __import__("scipy.sparse").sparse.csr_matrix(
            (np.ones(len(pairs)), ([p[0] for p in pairs], [p[1] for p in pairs])), shape=(40, 30)
        )
    )
    return recae.EASE().fit(data)


@pytest.fixture(scope="module")
def client(model: recae.EASE, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = Path(model.save(tmp_path_factory.mktemp("models") / "ease"))
    app = create_app(Shelf({"ease": path}, titles=TITLES), settings=Settings(max_k=50))
    with TestClient(app) as client:
        yield client


def test_lists_are_those_of_the_model(client: Any, model: recae.EASE) -> None:
    answer = client.post("/v1/recommend", json={"history": [1, 2, 3], "k": 4}).json()
    frame = model.recommend(history=[1, 2, 3], k=4)
    assert [item["item_id"] for item in answer["items"]] == frame["item_id"].tolist()
    scores = [item["score"] for item in answer["items"]]
    np.testing.assert_allclose(scores, frame["score"], rtol=1e-5)
    assert answer["model"] == "ease" and answer["version"] == model.fingerprint()
    for item in answer["items"]:
        assert item.get("title") == TITLES.get(item["item_id"])


def test_reasons_need_a_known_item_and_count_unknown_ones(client: Any) -> None:
    for history, unknown in ([], 0), ([900], 1), ([900, 901, 902], 3), ([1, 900, 1], 1):
        answer = client.post("/v1/recommend", json={"history": history, "k": 2, "explain": 3})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["unknown"] == unknown and len(body["items"]) == 2
        reasons = {reason["item_id"] for item in body["items"] for reason in item["because"]}
        assert reasons == {1} & set(history)
