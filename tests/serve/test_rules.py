"""Every way to ask for lists under rules gives the same lists: Python, files, commands, HTTP."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation.rules.laws import World, broken, make_world, random_options
from recae.cli import main
from recae.serve import Shelf, create_app

USERS = [2, 11, 19]
K = 8
SETS = 12
MODELS: dict[str, recae.Recommender] = {
    "svd": recae.PureSVD(latent=6),
    "ease": recae.EASE(l2=10.0),
}


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    return {name: make_world(model, n_users=30, n_items=50) for name, model in MODELS.items()}


@pytest.fixture(scope="module")
def folder(worlds: dict[str, World], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both models, the facts about items, and the histories, as files."""
    place = tmp_path_factory.mktemp("everywhere")
    for name, world in worlds.items():
        world.model.save(place / name)
    world = worlds["svd"]
    facts = world.table.columns.assign(item_id=world.table.ids)
    facts.to_parquet(place / "facts.parquet")
    pairs = [(user, item) for user in USERS for item in sorted(world.histories[user])]
    pd.DataFrame(pairs, columns=["user_id", "item_id"]).to_parquet(place / "histories.parquet")
    return place


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    testclient = pytest.importorskip("starlette.testclient", reason="httpx is not installed")
    shelf = Shelf({name: folder / name for name in MODELS}, titles=folder / "facts.parquet")
    with testclient.TestClient(create_app(shelf)) as found:
        yield found


def drawn(worlds: dict[str, World], number: int) -> tuple[str, World, dict[str, Any], bool]:
    """A model, random rules and whether seen items are excluded."""
    name = ["svd", "ease"][number % 2]
    rng = np.random.default_rng(100 + number)
    options = random_options(rng, worlds[name], K)
    for rule in ("allow", "block"):
        if isinstance(options.get(rule), dict):  # its users are those who are asked for
            options[rule] = dict(zip(USERS, options[rule].values(), strict=False))
    return name, worlds[name], options, bool(number % 3)


def of_frame(frame: pd.DataFrame) -> dict[int, list[int]]:
    """The items of each user."""
    found = frame.sort_values("rank").groupby("user_id")["item_id"].agg(list).to_dict()
    return {user: found.get(user, []) for user in USERS}


def in_python(
    model: Any, world: World, rules: recae.Rules, seen: bool, path: Path
) -> dict[str, dict[int, list[int]]]:
    """The lists of all calls."""
    histories = {user: sorted(world.histories[user]) for user in USERS}
    given: dict[str, Any] = {"exclude_seen": seen, "rules": rules}
    top = model.recommend_array(histories, K, **given)
    ids = model.items_.ids
    rows = zip(top.users.tolist(), top.items, strict=True)
    model.export(path, histories, K, overwrite=True, **given)
    return {
        "recommend": of_frame(model.recommend(k=K, history=histories, **given)),
        "recommend_array": {user: ids[row[row >= 0]].tolist() for user, row in rows},
        "export": of_frame(pd.read_parquet(path)),
        "recommend_ids": {
            user: model.recommend_ids(history, K, exclude_seen=seen, rules=rules.of_user(user))[0]
            for user, history in histories.items()
        },
    }


@pytest.mark.parametrize("number", range(SETS))
def test_the_same_lists_everywhere(
    number: int, worlds: dict[str, World], folder: Path, client: Any
) -> None:
    name, world, options, seen = drawn(worlds, number)
    rules = recae.Rules(**options, table=world.table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)
        found = in_python(recae.load(folder / name), world, rules, seen, folder / "top.parquet")
    expected = found["recommend"]
    body = rules.to_json()
    (folder / "rules.json").write_text(json.dumps(body))
    command = ["recommend", str(folder / name), "--history", str(folder / "histories.parquet")]
    command += ["--rules", str(folder / "rules.json"), "--titles", str(folder / "facts.parquet")]
    command += ["--title-column", "genres", "--out", str(folder / "listed.parquet"), "--overwrite"]
    command += ["-k", str(K), "--quiet"] + ["--no-exclude-seen"] * (not seen)
    assert main(command) == 0
    found["command"] = of_frame(pd.read_parquet(folder / "listed.parquet"))
    asked = [
        {"history": sorted(world.histories[user]), "user": user, "k": K, "model": name}
        | {"exclude_seen": seen, "rules": body}
        for user in USERS
    ]
    alone = [client.post("/v1/recommend", json=one) for one in asked]
    together = client.post("/v1/recommend:batch", json={"requests": asked})
    assert [answer.status_code for answer in [*alone, together]] == [200] * 4
    for way, answers in (
        ("http", [answer.json() for answer in alone]),
        ("http, batch", together.json()["answers"]),
    ):
        lists = [[item["item_id"] for item in answer["items"]] for answer in answers]
        found[way] = dict(zip(USERS, lists, strict=True))
        for user, answer in zip(USERS, answers, strict=True):
            scores = [item["score"] for item in answer["items"]]
            assert broken(options, world, user, K, seen, found[way][user], scores) == []
            assert len(scores) == K or answer["notes"]
    assert {way: lists for way, lists in found.items() if lists != expected} == {}


def test_a_rule_that_the_model_cannot_follow_names_its_field(client: Any) -> None:
    for rules, field in (
        ({"at_most": 2}, "rules.category"),
        ({"block": ["a text"]}, "rules.block"),
        ({"min_score": "high"}, "rules.min_score"),
        ({"minimum": 1}, "rules.minimum"),
    ):
        body = {"history": [], "model": "svd", "rules": rules}
        answer = client.post("/v1/recommend", json=body)
        assert answer.status_code == 422
        assert answer.json()["error"]["parameter"] == field
