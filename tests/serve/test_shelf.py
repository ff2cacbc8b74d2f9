"""The shelf: names, stable shares of challengers, and reloads of folders that change."""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import shutil
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae.cli import serve
from recae.data import ItemTable
from recae.errors import ConfigError, DataError
from recae.serve import Shelf
from recae.system.digests import sha256_of_json

Fit = Callable[[float], recae.EASE]


@pytest.fixture(scope="module")
def fit() -> Fit:
    rng = np.random.default_rng(0)
    data = recae.Interactions.from_csr(sp.csr_matrix(rng.random((40, 30)) < 0.3, dtype=np.float32))
    return lambda l2: recae.EASE(l2=l2).fit(data)


def put(model: recae.EASE, place: Path) -> Path:
    return Path(model.save(place, overwrite=True))


def test_the_first_model_is_the_default(fit: Fit, tmp_path: Path) -> None:
    one, two = fit(1.0), fit(9.0)
    shelf = Shelf({"a": put(one, tmp_path / "1"), "b": str(put(two, tmp_path / "2"))})
    assert shelf.names() == ["a", "b"]
    assert shelf.get().version == shelf.get(user="u").version == one.fingerprint()
    assert shelf.get("b").version == two.fingerprint()
    with pytest.raises(AttributeError):
        shelf.get().name = "c"  # type: ignore[misc]
    with pytest.raises(ConfigError) as fault:
        shelf.get("c")
    assert fault.value.parameter == "model"


@pytest.mark.parametrize("ids", [["i0", "i1"], [3, 3]])
def test_titles_that_fit_no_item_are_refused_at_the_start(
    fit: Fit, tmp_path: Path, ids: list[Any]
) -> None:
    place = put(fit(1.0), tmp_path / "1")
    with pytest.raises(DataError) as fault:
        Shelf({"a": place}, titles=pd.DataFrame({"item_id": ids, "title": ["x", "y"]}))
    assert fault.value.parameter == "titles"
    assert Shelf({"a": place}, titles={99: "of another item"}).names() == ["a"]
    assert Shelf({"a": place}, titles=ItemTable({0: "x"})).get().titles.ids.tolist() == [0]


def chosen(shelf: Shelf, users: int) -> list[str]:
    return [shelf.get(user=str(user)).name for user in range(users)]


def test_users_keep_their_challenger(fit: Fit, tmp_path: Path) -> None:
    path = put(fit(1.0), tmp_path / "1")
    places = {"a": path, "b": path, "c": path}
    names = chosen(Shelf(places, shares={"b": 0.1, "c": 0.3}), 5000)
    for name, share in {"a": 0.6, "b": 0.1, "c": 0.3}.items():
        # four standard deviations of a binomial share
        assert abs(names.count(name) / 5000 - share) < 4 * (share * (1 - share) / 5000) ** 0.5
    # The rule, written out: the first 64 bits of the SHA-256 of the id, as a number from 0 to 1.
    for user in range(200):
        point = int(hashlib.sha256(b"%d" % user).hexdigest()[:16], 16) / 2**64
        assert names[user] == ("b" if point < 0.1 else "c" if point < 0.4 else "a")
    assert Shelf(places, shares={"b": 1}).get(user="\udc80").name == "b"


@pytest.mark.parametrize(
    ("places", "shares"),
    [
        ({}, {}),
        ({"a/b": 1}, {}),
        ({"": 1}, {}),
        ({"..": 1}, {}),
        ({"a": 1}, {"a": 0.5}),
        ({"a": 1, "b": 1}, {"c": 0.5}),
        ({"a": 1, "b": 1}, {"b": 0}),
        ({"a": 1, "b": 1}, {"b": float("nan")}),
        ({"a": 1, "b": 1, "c": 1}, {"b": 0.6, "c": 0.5}),
    ],
)
def test_impossible_shelves_are_refused(
    places: dict[str, Any], shares: dict[str, float], fit: Fit, tmp_path: Path
) -> None:
    path = put(fit(1.0), tmp_path / "1")
    with pytest.raises(ConfigError):
        Shelf(dict.fromkeys(places, path), shares=shares)


@pytest.mark.parametrize("known", [None, "", 7, ["a"], "0" * 17, "<script>alert(1)"])
def test_a_folder_that_names_no_fingerprint_is_served_under_its_own(
    known: Any, fit: Fit, tmp_path: Path
) -> None:
    model = fit(1.0)
    place = put(model, tmp_path / "1")
    config = json.loads((place / "config.json").read_text())
    assert config["settings"].pop("fingerprint") == model.fingerprint()
    if known is not None:
        config["settings"]["fingerprint"] = known
    del config["digest"]
    config["digest"] = sha256_of_json(config)
    (place / "config.json").write_text(json.dumps(config))
    assert Shelf({"a": place}).get().version == model.fingerprint()


@pytest.mark.parametrize(
    "given", [{}, None, 5, ["a"], {"a": None}, {"a": 5}, {5: "a"}, {"a": "\0"}]
)
def test_what_is_no_mapping_from_names_to_folders(given: Any) -> None:
    with pytest.raises(ConfigError):
        Shelf(given)


def test_a_user_is_the_same_as_number_and_text(fit: Fit, tmp_path: Path) -> None:
    path = put(fit(1.0), tmp_path / "1")
    shelf = Shelf({"a": path, "b": path}, shares={"b": 0.5})
    names = [shelf.get(None, user).name for user in range(40)]
    assert {*names} == {"a", "b"}
    assert names == [shelf.get(user=str(user)).name for user in range(40)]
    with pytest.raises(ConfigError):
        Shelf({"a": path}, shares=[("a", 0.1)])  # type: ignore[arg-type]


def test_titles_of_text_ids_that_look_like_integers(tmp_path: Path) -> None:
    log = recae.Interactions.from_frame(
        pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["007", "8", "8"]})
    )
    recae.Popularity().fit(log).save(tmp_path / "m")
    (tmp_path / "titles.csv").write_text("film,title\n007,Bond\n8,Eight\n")
    parser = argparse.ArgumentParser()
    serve.add_options(parser)
    asked = [str(tmp_path / "m"), "--titles", str(tmp_path / "titles.csv"), "--item", "film"]
    shelf = serve.shelf_of(parser.parse_args(asked))
    assert shelf.titles is not None and shelf.titles.texts(["007", "8"]) == ["Bond", "Eight"]


def test_columns_of_titles_are_found_and_may_be_named(tmp_path: Path) -> None:
    log = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "b"]})
    recae.Popularity().fit(log).save(tmp_path / "m")
    content = "Preis;Nummer;Bezeichnung\n3;a;Käse\n4;b;Öl\n"
    (tmp_path / "titles.csv").write_text(content, encoding="cp1252")
    parser = argparse.ArgumentParser()
    serve.add_options(parser)
    asked = [str(tmp_path / "m"), "--titles", str(tmp_path / "titles.csv")]
    with pytest.raises(DataError, match="title_encoding="):
        serve.shelf_of(parser.parse_args(asked))
    asked += ["--title-encoding", "cp1252"]
    for more in ([], ["--title-id", "Nummer", "--title-column", "Bezeichnung"]):
        shelf = serve.shelf_of(parser.parse_args([*asked, *more]))
        titles = shelf.get().titles
        assert titles is not None and titles.texts(["b", "a"]) == ["Öl", "Käse"]
        assert titles.column("Preis").tolist() == [3, 4]  # rules may use it
        shelf.reload()
        assert shelf.get().titles is titles


def test_what_is_no_recommender_is_refused(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        Shelf({"a": tmp_path})


def test_a_replaced_folder_is_loaded_and_the_old_one_freed(fit: Fit, tmp_path: Path) -> None:
    one, two = fit(1.0), fit(9.0)
    shelf = Shelf({"a": put(one, tmp_path / "m")})
    old = shelf.get()
    assert shelf.refresh() == []
    put(two, tmp_path / "m")
    (done,) = shelf.refresh()
    assert done.error is None and done.served is shelf.get()
    assert shelf.get().version == two.fingerprint() and old.version == one.fingerprint()
    assert shelf.refresh() == []
    gone = weakref.ref(old.model)
    del old
    gc.collect()
    assert gone() is None


def test_a_link_that_moves_is_followed(fit: Fit, tmp_path: Path) -> None:
    one, two = put(fit(1.0), tmp_path / "1"), put(fit(9.0), tmp_path / "2")
    link = tmp_path / "now"
    link.symlink_to(one)
    shelf = Shelf({"a": link})
    first = shelf.get().version
    new = tmp_path / "new"
    new.symlink_to(two)
    new.replace(link)
    assert len(shelf.refresh()) == 1
    assert shelf.get().version == fit(9.0).fingerprint() != first


def test_a_damaged_folder_keeps_the_old_model_and_is_tried_again(fit: Fit, tmp_path: Path) -> None:
    one, two = fit(1.0), fit(9.0)
    path, whole = put(one, tmp_path / "m"), put(two, tmp_path / "whole")
    shelf, told = Shelf({"a": path}), []
    shelf.watchers.append(told.append)
    shutil.rmtree(path)
    assert [done.served for done in shelf.refresh()] == [None]
    shutil.copytree(whole, path, ignore=shutil.ignore_patterns("*.safetensors"))
    for _ in range(20):
        for done in shelf.refresh():
            assert isinstance(done.error, DataError)
    assert shelf.get().version == one.fingerprint()
    assert 2 <= len(told) <= 7  # 1, 2, 4, 8, ... polls apart
    with pytest.raises(DataError):
        shelf.reload("a")
    shutil.copy(whole / "model.safetensors", path)  # the copy ends after its config.json
    while shelf.get().version == one.fingerprint():
        shelf.refresh()
    assert shelf.get().version == two.fingerprint() and told[-1].error is None


def test_threads_see_one_model_or_the_other(fit: Fit, tmp_path: Path) -> None:
    models = [fit(1.0), fit(9.0)]
    lists = {m.fingerprint(): m.recommend(history=[1, 2], k=5)["score"].tolist() for m in models}
    shelf, ends, wrong = Shelf({"a": put(models[0], tmp_path / "m")}), threading.Event(), []

    def ask() -> None:
        while not ends.is_set():
            served = shelf.get()
            scores = served.model.recommend(history=[1, 2], k=5)["score"].tolist()
            if not np.allclose(scores, lists[served.version], rtol=1e-5):
                wrong.append(served.version)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(6):
        put(models[(turn + 1) % 2], tmp_path / "m")
        assert len(shelf.refresh()) == 1
    ends.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("weights", ["both", "neither"])
def test_a_model_that_misses_weights_is_warned_of_when_it_is_loaded(
    weights: str, tmp_path: Path
) -> None:
    plays = np.random.default_rng(0).integers(0, 9, (30, 20)).astype(np.float32)
    path = put(recae.EASE(weights=weights).fit(sp.csr_matrix(plays)), tmp_path / "model")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shelf = Shelf({"plays": path})
        shelf.get().model.recommend_ids([1, 2], k=3)
    said = [str(warning.message) for warning in caught]
    assert [text for text in said if "plays" in text and "1 to 8" in text] == said
    assert len(said) == (weights == "both")
