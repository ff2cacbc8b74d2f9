"""A request names a user: answered as their history is, or refused while the store fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from recae import ConfigError
from recae.errors import StoreError
from recae.serve import Settings, Shelf, create_app, open_store, write_histories

pytest.importorskip("fastapi")
testclient = pytest.importorskip("fastapi.testclient")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Down:
    """A store that is down."""

    def histories(self, users: Any) -> Any:
        raise StoreError("the cupboard is locked", retry_after=6.6)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, int_data: recae.Interactions) -> Path:
    return recae.EASE().fit(int_data).save(tmp_path_factory.mktemp("served") / "ease")


def client(model: Path, store: Any, **settings: Any) -> Any:
    app = create_app(Shelf({"ease": model}), store=store, settings=Settings(**settings))
    return testclient.TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def answers(model: Path, tmp_path: Path, int_data: recae.Interactions) -> Iterator[Any]:
    url = f"parquet:{tmp_path}/plays.parquet"
    write_histories(url, int_data)
    with client(model, open_store(url)) as made:
        yield lambda path="recommend", **body: made.post(f"/v1/{path}", json=body)


def test_a_user_is_answered_as_their_history_is(answers: Any, int_frame: pd.DataFrame) -> None:
    for user, items in int_frame.groupby("user_id")["item_id"]:
        by_id, by_history = answers(user=user), answers(history=items.tolist())
        assert by_id.status_code == by_history.status_code == 200
        assert by_id.json()["items"] == by_history.json()["items"]
    users = [100, 107, 114]
    batch = answers("recommend:batch", requests=[{"user": user} for user in users]).json()
    assert [one["items"] for one in batch["answers"]] == [
        answers(user=user).json()["items"] for user in users
    ]


def test_a_stranger_gets_popular_items_and_a_note(answers: Any) -> None:
    found = answers(user=-5).json()
    assert found["items"] and found["items"] == answers(history=[]).json()["items"]
    assert {"rule": "store", "unknown_users": 1} in found["notes"]


def test_a_user_of_the_wrong_kind_is_the_clients_mistake(answers: Any) -> None:
    found = answers(user="100")
    assert found.status_code == 422 and found.json()["error"]["parameter"] == "user"


def test_a_store_that_fails_is_503_or_popular_items(model: Path) -> None:
    with client(model, Down()) as made:
        found = made.post("/v1/recommend", json={"user": 100})
        assert found.status_code == 503 and found.headers["retry-after"] == "7"
        assert "cupboard" in found.json()["error"]["message"]
        assert made.post("/v1/recommend", json={"history": [900]}).status_code == 200
    with client(model, Down(), store_failure="popular") as made:
        found = made.post("/v1/recommend", json={"user": 100})
        assert found.status_code == 200 and len(found.json()["items"]) == 10
        assert {"rule": "store", "failed": 1} in found.json()["notes"]
    with pytest.raises(ConfigError) as caught:
        Settings(store_failure="ignore")
    assert caught.value.parameter == "store_failure"


def test_ids_of_another_kind_than_the_models_are_no_recommendation(
    model: Path, tmp_path: Path
) -> None:
    url = f"parquet:{tmp_path}/words.parquet"
    write_histories(url, pd.DataFrame({"user_id": [1], "item_id": ["900"]}))
    with client(model, open_store(url)) as made:
        found = made.post("/v1/recommend", json={"user": 1})
        assert found.status_code == 503 and "'900'" in found.json()["error"]["message"]
