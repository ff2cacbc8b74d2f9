"""Tastes on disk, over every model, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae

QUICK: dict[str, Any] = {"units": 4, "active": 1, "min_users": 1, "epochs": 3, "progress": False}
WITHOUT_CODES = {"ease", "edlae", "rlae", "rdlae", "sparse-ease", "infinite-ae", "item-knn"}
WITHOUT_CODES |= {"user-knn", "popularity", "random", "ensemble", "neural-ease"}
WITHOUT_CODES |= {"slim", "admm-slim", "rp3-beta", "turbo-cf", "graph-filter"}


def test_saved_and_loaded_they_are_the_same(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions, tmp_path: Path
) -> None:
    tastes.rename({0: "mine"})
    tastes.save(tmp_path / "tastes")
    tastes.model.save(tmp_path / "model")
    again = recae.load(tmp_path / "tastes", model=recae.load(tmp_path / "model"))
    assert again.names == tastes.names and again.names[0] == "mine"
    assert repr(again) == repr(tastes)
    assert (again.explained, again.dead) == (tastes.explained, tastes.dead)
    assert np.array_equal(again.score(plays, {"mine": 1}), tastes.score(plays, {"mine": 1}))
    pd.testing.assert_frame_equal(again.profile(plays), tastes.profile(plays))


def test_another_model_is_refused(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions, tmp_path: Path
) -> None:
    tastes.save(tmp_path / "tastes")
    with pytest.raises(recae.DataError, match="another model, a MultVAE"):
        recae.load(tmp_path / "tastes", model=recae.PureSVD(latent=3).fit(plays))
    config = tmp_path / "tastes" / "config.json"
    cut = json.loads(config.read_text())
    del cut["settings"]["names"]
    config.write_text(json.dumps(cut))
    with pytest.raises(recae.DataError, match="config.json"):
        recae.load(tmp_path / "tastes", model=tastes.model)
    with pytest.raises(recae.errors.StorageError):
        tastes.save(tmp_path / "tastes")


@pytest.mark.parametrize("name", sorted(recae.MODELS))
def test_every_model_can_be_steered_or_says_why_not(name: str, noise: recae.Interactions) -> None:
    model = recae.MODELS[name]()
    settings = {"epochs": 2, "latent": 6, "hidden": (8,), "width": 8, "depth": 2, "batch_size": 10}
    settings |= {"decoder_depth": 1, "components": 4, "concepts": 2}
    known = model.param_fields()
    model.set_params(**{key: value for key, value in settings.items() if key in known})
    model.fit(noise, progress=False)
    if name in WITHOUT_CODES:
        with pytest.raises(recae.ConfigError, match="MultVAE"):
            recae.apply.steer.find_tastes(model, noise, **QUICK)
        with pytest.raises(recae.ConfigError, match="latent space"):
            model.embed_users(noise)
        return
    tastes = recae.apply.steer.find_tastes(model, noise, **QUICK)
    assert np.array_equal(tastes.score(noise, {0: 0}), model.score(noise))
    plain = model.recommend(history=noise, on_unknown="popular")
    pd.testing.assert_frame_equal(tastes.recommend(noise, on_unknown="popular"), plain)
    assert not np.allclose(tastes.score(noise, {0: 5}), model.score(noise))


@pytest.fixture
def noise() -> recae.Interactions:
    rng = np.random.default_rng(0)
    return recae.Interactions.from_csr(sp.csr_matrix((rng.random((30, 25)) < 0.3) * 1.0))


@pytest.mark.parametrize(
    ("shift", "value"),
    [
        ({99: 1}, 99),
        ({-1: 1}, -1),
        ({True: 1}, True),
        ({"r": 1}, "r"),
        ({" ": 1}, " "),
        ({0: float("inf")}, float("inf")),
        ({0: -1e30}, -1e30),
        ({0: 10**400}, 10**400),
        ({0: "much"}, "much"),
        ({0: True}, True),
        ([0], [0]),
    ],
)
def test_bad_shifts(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions, shift: Any, value: Any
) -> None:
    for ask in (tastes.recommend, tastes.score):
        with pytest.raises(recae.ConfigError) as error:
            ask(plays, shift=shift)
        assert error.value.parameter in ("unit", "shift") and error.value.value == value
        with pytest.raises(recae.ConfigError, match="nan"):
            ask(plays, shift={0: float("nan")})
        with pytest.raises(recae.ConfigError, match="mean 'Horror"):
            ask(plays, shift={"Horor": 1})


def test_units_by_name(tastes: recae.apply.steer.Tastes, plays: recae.Interactions) -> None:
    wanted = tastes.score(plays, {2: 1})
    part = tastes.names[2].split("; ")[-1]
    if sum(part in name for name in tastes.names) == 1:
        assert np.array_equal(tastes.score(plays, {part.upper(): 1}), wanted)
    assert np.array_equal(tastes.score(plays, {tastes.names[2]: 1}), wanted)
    tastes.rename({2: "Sunday evening"})
    assert np.array_equal(tastes.score(plays, {"sunday": np.float32(1)}), wanted)
    with pytest.raises(recae.ConfigError, match="2 .*'Sunday evening'"):
        tastes.score(plays, {2: 1, "Sunday evening": 1})
    with pytest.raises(recae.ConfigError, match="sunday Evening|Sunday evening"):
        tastes.rename({0: "sunday Evening"})
    with pytest.raises(recae.ConfigError, match="''"):
        tastes.rename({0: ""})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"units": 0}, "latent"),
        ({"active": 5}, "active=5"),
        ({"sparsity": "kl"}, "'kl'"),
        ({"sparsity": "top_k"}, "mean 'top-k'"),
        ({"min_users": 0}, "min_users"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"progress": "no"}, "progress"),
    ],
)
def test_bad_options(model: recae.MultVAE, options: dict[str, Any], complaint: str) -> None:
    # Refused before the data are looked at.
    with pytest.raises(recae.ConfigError, match=complaint):
        recae.apply.steer.find_tastes(model, "nothing", **QUICK | options)


def test_bad_models_and_data(model: recae.MultVAE, plays: recae.Interactions) -> None:
    with pytest.raises(recae.ConfigError, match="EASE .*MultVAE"):
        recae.apply.steer.find_tastes(recae.EASE().fit(plays), plays)
    with pytest.raises(recae.ConfigError, match="^str"):
        recae.apply.steer.find_tastes("MultVAE", plays)
    with pytest.raises(recae.errors.NotFittedError):
        recae.apply.steer.find_tastes(recae.MultVAE(), plays)
    with pytest.raises(recae.DataError, match="two histories"):
        recae.apply.steer.find_tastes(model, plays.select_users([0]), **QUICK)
    with pytest.raises(recae.DataError, match="min_users=241 .*240"):
        recae.apply.steer.find_tastes(model, plays, **QUICK | {"min_users": 241})


@pytest.mark.filterwarnings("ignore:SparseAutoencoder")  # few epochs
def test_rare_units_are_left_out_and_counted(
    model: recae.MultVAE, plays: recae.Interactions
) -> None:
    options = QUICK | {"units": 12, "epochs": 30}
    everyone = recae.apply.steer.find_tastes(model, plays, **options)
    few = recae.apply.steer.find_tastes(model, plays, **options | {"min_users": 25})
    assert len(everyone) + everyone.dead == 12
    assert len(few) == (everyone.users >= 25).sum() < 12
    assert (np.diff(few.users) <= 0).all() and few.users.sum() <= few.of_users
    rare = len(everyone) - len(few)
    assert re.match(rf"Tastes\({len(few)} units.* MultVAE, {few.dead} dead, {rare} ", repr(few))


def test_titles_of_every_kind(tastes: recae.apply.steer.Tastes, movies: pd.DataFrame) -> None:
    wanted = tastes.name(movies, k=2)
    by_id = movies.set_index("item_id")
    pd.testing.assert_frame_equal(tastes.name(by_id, k=2), wanted)
    categories = movies[["item_id"]].assign(category=movies["genres"])
    pd.testing.assert_frame_equal(tastes.name(by_id["title"], k=2, genres=categories), wanted)
    lists = by_id["genres"].map(lambda genre: [genre])
    pd.testing.assert_frame_equal(tastes.name(dict(by_id["title"]), k=2, genres=lists), wanted)
    first = tastes.top[0, 0]
    assert tastes.name(k=1)["name"][0] == str(tastes.model.items_.ids[first])
    assert "genre" not in tastes.name({first: "only this"})
    assert tastes.names[0].startswith("only this; ")
    assert len({*tastes.name({item: "the same" for item in range(60)}, k=1)["name"]}) == len(tastes)


@pytest.mark.parametrize(
    ("titles", "genres", "complaint"),
    [
        ({"x": "Alien"}, None, "item ids"),
        ({1000: "Alien"}, None, "none .*60"),
        (["Alien"], None, "list"),
        (pd.DataFrame({"item_id": [1], "titel": ["Alien"]}), None, "mean 'titel'"),
        (pd.Series(["a", "b"], index=[1, 1]), None, "distinct; 1"),
        (None, {1000: "Horror"}, "none .*60"),
        (None, {1: 5}, "none .*60"),
    ],
)
def test_bad_titles(
    tastes: recae.apply.steer.Tastes, titles: Any, genres: Any, complaint: str
) -> None:
    before = list(tastes.names)
    with pytest.raises(recae.DataError, match=complaint):
        tastes.name(titles, genres=genres)
    assert tastes.names == before


def test_items_without_a_genre_are_counted(
    tastes: recae.apply.steer.Tastes, movies: pd.DataFrame
) -> None:
    with pytest.warns(recae.RecaeWarning, match="10 of 60 items"):
        tastes.name(movies[:50])


@pytest.mark.parametrize("sparsity", ["top-k", "batch-top-k", "jump-relu", "l1"])
def test_every_kind_of_sparse_code(
    sparsity: str, model: recae.MultVAE, plays: recae.Interactions
) -> None:
    options = QUICK | {"active": 2, "epochs": 20, "sparsity": sparsity}
    tastes = recae.apply.steer.find_tastes(model, plays, **options)
    strengths = tastes.strengths(plays)
    assert (strengths >= 0).all()
    assert np.array_equal((strengths > 0).sum(axis=0), tastes.users)
    # 1 is the mean of those who have the unit.
    means = strengths.sum(axis=0, dtype=np.float64) / tastes.users
    assert means == pytest.approx(1, rel=1e-4)
