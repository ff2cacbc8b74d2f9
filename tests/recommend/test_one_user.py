"""`recommend_ids` gives the lists of `recommend`, for any list of ids."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae.errors import ConfigError, DataError
from recae.ranking import coarse
from recae.recommend.one_user import UserList
from tests.laws import assert_same_lists

MODELS = ("ease", "pure-svd", "als", "mult-vae", "popularity", "random", "item-knn", "user-knn")


def same_lists(ids: list, scores: list, frame: pd.DataFrame, model: recae.Recommender) -> None:
    """The law of equal lists: other items only where scores tie within 1e-5."""
    columns = model.items_.encode(ids)[None], model.items_.encode(frame["item_id"])[None]
    found = recae.ranking.TopK(columns[0], np.array([scores], dtype=np.float32))
    expected = recae.ranking.TopK(columns[1], frame["score"].to_numpy()[None])
    assert found.items.shape == expected.items.shape
    if found.items.size:
        assert_same_lists(found, expected)


def data(text: bool = False) -> recae.Interactions:
    rng = np.random.default_rng(5)
    matrix = sp.random(60, 40, density=0.2, random_state=rng, format="csr", dtype=np.float32)
    matrix.data[:] = 1
    ids = [f"item {n}" for n in range(40)] if text else np.arange(1000, 1040)[::-1]
    return recae.Interactions.from_csr(matrix, items=ids)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> recae.Recommender:
    kind = recae.MODELS[request.param]
    return kind(**kind.small).fit(data())


HISTORIES = ([1000], [1005, 1003, 1039, 1020], [1003, 1003, 1005], list(range(1000, 1030)), [])


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("k", [1, 7, 100])
def test_the_lists_are_those_of_recommend(model, history, k):
    ids, scores = model.recommend_ids(history, k)
    frame = model.recommend(k=k, history=history, on_unknown="popular")
    same_lists(ids, scores, frame, model)
    assert type(ids) is list and type(scores) is list
    assert all(type(item) is int for item in ids) and all(type(s) is float for s in scores)


@pytest.mark.parametrize(
    "options",
    [
        dict(exclude_seen=False),
        dict(items=[1001, 1002, 1003]),
        dict(exclude_items=[1001, 1002, 1003, 1004]),
        dict(items=[1001, 1002, 1003], exclude_items=[1002], exclude_seen=False),
    ],
)
def test_options_are_those_of_recommend(model, options):
    history = [1001, 1007, 1030]
    ids, scores = model.recommend_ids(history, 5, **options)
    same_lists(ids, scores, model.recommend(k=5, history=history, **options), model)


@pytest.mark.parametrize(
    "given",
    [
        (1003, 1001),
        {1003, 1001},
        np.array([1003, 1001]),
        np.array([1003, 1001], dtype=np.int32),
        [np.int64(1003), 1001],
        pd.Series([1003, 1001]),
        iter([1003, 1001]),
        [1003, 7, 1001, 7, 1001],
    ],
    ids=lambda given: type(given).__name__,
)
def test_any_list_of_ids_is_read(given):
    model = recae.EASE().fit(data())
    assert model.recommend_ids(given, 4) == model.recommend_ids([1001, 1003], 4)


def test_unknown_ids_are_counted_without_a_warning():
    model = recae.EASE().fit(data())
    answer = model.recommend_ids([1, 1003, 2, -(2**63)], 3)
    assert answer.unknown == 3 and answer == model.recommend_ids([1003], 3)
    words = recae.EASE().fit(data(text=True))
    answer = words.recommend_ids(["item 3", "item 99"], 3)
    assert answer.unknown == 1 and all(type(item) is str for item in answer[0])


@pytest.mark.parametrize("unknown", [[], [1, 2]])
def test_a_stranger_gets_popular_items_or_an_error(unknown):
    model = recae.EASE().fit(data())
    counts = np.asarray((data().matrix != 0).sum(axis=0)).ravel()
    best = np.argsort(-counts, kind="stable")[:4]
    answer = model.recommend_ids(unknown, 4)
    assert answer[0] == data().items.ids[best].tolist() and answer[1] == counts[best].tolist()
    assert answer.unknown == len(unknown)
    with pytest.raises(DataError) as caught:
        model.recommend_ids(unknown, 4, on_unknown="raise")
    assert caught.value.parameter == "history"


def test_notes_say_what_is_missing():
    model = recae.EASE().fit(data())
    answer = model.recommend_ids([1003], 9, items=[1003, 1004, 5], exclude_items=[6, 7])
    assert answer[0] == [1004]
    assert answer.notes == (
        {"rule": "items", "unknown": 1},
        {"rule": "exclude_items", "unknown": 2},
        {"rule": "short", "asked": 9, "found": 1},
    )
    assert model.recommend_ids([1003], 9).notes == ()
    assert model.recommend_ids([1003], 9, items=[]) == ([], [])


BAD = [
    None,
    5,
    "item 3",
    b"x",
    {1003: 1},
    data(),
    data().matrix,
    pd.DataFrame({"item_id": [1003]}),
    np.array([[1003]]),
    [[1003]],
    [(1003,)],
    [1003.0],
    [True],
    [None],
    [1003, "item 3"],
    ["item 3"],
    np.array(["item 3"]),
    [2**63],
    [1003, float("nan")],
]


@pytest.mark.parametrize("given", BAD, ids=repr)
@pytest.mark.parametrize("parameter", ["history", "items", "exclude_items"])
def test_what_is_no_list_of_ids_of_the_model_is_refused(parameter, given):
    if given is None:  # the default of the others
        parameter = "history"
    model = recae.EASE().fit(data())
    asked = {"history": [1001], parameter: given}
    with pytest.raises(DataError) as caught:
        model.recommend_ids(**asked)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("given", [[3], [3.5], ["\ud800"], [b"x"]], ids=repr)
def test_ids_of_another_kind_than_text_are_refused(given):
    with pytest.raises(DataError) as caught:
        recae.EASE().fit(data(text=True)).recommend_ids(given)
    assert caught.value.parameter == "history"


@pytest.mark.parametrize(
    "options", [dict(k=0), dict(k=1.5), dict(on_unknown="skip"), dict(exclude_seen=1)], ids=repr
)
def test_options_are_checked(options):
    with pytest.raises(ConfigError) as caught:
        recae.EASE().fit(data()).recommend_ids([1001], **options)
    assert caught.value.parameter in options


def test_items_of_which_none_is_known_are_refused_as_in_recommend():
    model = recae.EASE().fit(data())
    for ask in (model.recommend_ids, lambda h, **o: model.recommend(history=h, **o)):
        with pytest.raises(DataError) as caught:
            ask([1001], items=[1, 2])
        assert caught.value.parameter == "items"


def test_an_answer_survives_copies_and_pickles():
    answer = UserList([1], [0.5], 3, [{"rule": "short"}])
    for other in (copy.copy(answer), copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
        assert other == ([1], [0.5]) and other.unknown == 3
        assert other.notes == ({"rule": "short"},)


def test_an_unfitted_model_is_refused():
    with pytest.raises(recae.errors.NotFittedError):
        recae.EASE().recommend_ids([1])


@pytest.mark.parametrize("transform", ["log1p", "bm25", "binarise", "quantile"])
@pytest.mark.parametrize("name", ["ease", "pure-svd", "als", "mult-vae"])
def test_weights_are_transformed_as_in_recommend(name, transform):
    kind = recae.MODELS[name]
    used = kind.param_fields()["weights"].metadata["choices"][-1]
    options = kind.small | dict(weights=used, weight_transform=transform)
    model = kind(**options).fit(data())
    history = [1001, 1005, 1007]
    same_lists(*model.recommend_ids(history, 8), model.recommend(k=8, history=history), model)


@pytest.mark.parametrize("name", ["pure-svd", "als", "bpr", "mult-vae"])
def test_a_loaded_model_finds_the_same_lists_in_its_coarse_copy(name, tmp_path, monkeypatch):
    if not coarse.integer_products():
        pytest.skip("torch multiplies no integers on this machine")
    monkeypatch.setattr(coarse, "LEAST", 1)
    rng = np.random.default_rng(0)
    matrix = sp.random(200, 2000, density=0.02, random_state=rng, format="csr")
    matrix.data[:] = 1
    kind = recae.MODELS[name]
    model = kind(**kind.small).fit(recae.Interactions.from_csr(matrix), progress=False)
    loaded = recae.load(model.save(tmp_path / "model"))
    answered = []
    best = coarse.Coarse.best

    def watched(self, *given):
        answered.append(best(self, *given))
        return answered[-1]

    monkeypatch.setattr(coarse.Coarse, "best", watched)
    for row in range(20):
        history = matrix[[row]].indices.tolist()
        for hidden in (None, [3, 4, 5]):
            found = loaded.recommend_ids(history, 10, exclude_items=hidden)
            frame = loaded.recommend(history=history, k=10, exclude_items=hidden)
            same_lists(*found, frame, loaded)
    assert sum(found is not None for found in answered) > 20  # the copy did say it
    count = len(answered)
    loaded.fit(recae.Interactions.from_csr(matrix), progress=False).recommend_ids([1], 3)
    assert len(answered) == count  # arrays that may change have no copy
