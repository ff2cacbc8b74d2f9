"""Models in a local MLflow file store: logged, registered, loaded back, and asked as a pyfunc."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import recae
from recae import ConfigError, DataError
from recae.errors import StorageError

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, which change with its versions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow = recae.mlflow.library()
        folder = tmp_path_factory.mktemp("mlflow") / "runs"
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(folder.as_uri())
        yield folder
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def model(text_data: recae.Interactions) -> recae.Recommender:
    return recae.EASE().fit(text_data)


@pytest.fixture(scope="module")
def logged(store: Path, model: recae.Recommender) -> Any:
    return recae.mlflow.log_model(
        model, "likes", registered_model_name="likes", aliases=["champion", "newest"]
    )


def test_the_model_comes_back_by_version_alias_and_uri(
    logged: Any, model: recae.Recommender
) -> None:
    for uri in ("models:/likes/1", "models:/likes@champion", "models:/likes@newest"):
        assert recae.mlflow.load_model(uri).fingerprint() == model.fingerprint()
    assert recae.mlflow.load_model(logged.model_uri).fingerprint() == model.fingerprint()


def test_nothing_is_pickled_and_this_module_loads(logged: Any, store: Path) -> None:
    (found,) = store.glob("**/MLmodel")
    flavour = yaml.safe_load(found.read_text())["flavors"]["python_function"]
    assert flavour["loader_module"] == "recae.mlflow"
    names = {path.name for path in found.parent.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert {"config.json", "model.safetensors", "items.parquet"} <= names
    assert "history.parquet" not in names


def test_an_alias_moves_to_a_new_version(logged: Any, text_data: recae.Interactions) -> None:
    other = recae.EASE(l2=9).fit(text_data)
    recae.mlflow.log_model(other, registered_model_name="likes", aliases="newest")
    assert recae.mlflow.load_model("models:/likes@newest").fingerprint() == other.fingerprint()
    assert recae.mlflow.load_model("models:/likes@champion").l2 != 9


def test_a_pyfunc_answers_as_recommend_does(
    logged: Any, model: recae.Recommender, text_frame: pd.DataFrame
) -> None:
    import mlflow

    pyfunc = mlflow.pyfunc.load_model("models:/likes@champion")
    wanted = model.recommend(history=text_frame, k=3)
    found = pyfunc.predict(text_frame, params={"k": 3})
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    by_row = text_frame.groupby("user_id", as_index=False)["item_id"].agg(list)
    by_row = by_row.rename(columns={"item_id": "history"})
    pd.testing.assert_frame_equal(
        pyfunc.predict(by_row, params={"k": 3}), wanted, check_dtype=False
    )
    histories = [{"history": row} for row in by_row["history"]]
    numbered = pyfunc.predict(histories, params={"k": 3})
    assert numbered["item_id"].tolist() == wanted["item_id"].tolist()
    assert {*numbered["user_id"]} == {*range(36)} - {1}  # u1 has every item
    seen = pyfunc.predict(text_frame[:1], params={"exclude_seen": False, "k": 16})
    assert {*seen["item_id"]} == {*model.items_.ids}
    assert pyfunc.predict(pyfunc.input_example)["rank"].tolist()[:2] == [1, 2]


def test_what_a_predictor_takes(model: recae.Recommender) -> None:
    predict = recae.mlflow.Predictor(model).predict
    one = predict(["i0", "i1"])
    assert predict([["i0", "i1"]]).equals(one) and predict([("i0", "i1")]).equals(one)
    assert predict([{"history": ["i0", "i1"]}]).equals(one)
    assert predict([[], ["i0"]], {"k": 2})["user_id"].tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError):
        predict([[], ["i0"]], {"on_unknown": "raise"})
    for wrong in (
        *(None, "i0", 3, [1], [["i0"], "i0"], {"history": ["i0"]}, [{"items": ["i0"]}]),
        *(pd.DataFrame({"item_id": ["i0"]}), pd.DataFrame({"history": ["i0"]})),
        pd.DataFrame({"user_id": ["a", "a"], "history": [["i0"], ["i1"]]}),
        pd.DataFrame({"user_id": [["a"]], "history": [["i0"]]}),
    ):
        with pytest.raises(DataError):
            predict(wrong)
    with pytest.raises(ConfigError, match="'k'"):
        predict(["i0"], {"K": 3})


def test_the_signature_has_the_type_of_the_ids(
    store: Path, logged: Any, int_data: recae.Interactions
) -> None:
    import mlflow

    whole = recae.mlflow.log_model(recae.Popularity().fit(int_data), with_history=True)
    types = {c["name"]: c["type"] for c in whole.signature.inputs.to_dict()}
    assert types["item_id"] == "long"
    assert {c["name"]: c["type"] for c in logged.signature.inputs.to_dict()}["item_id"] == "string"
    assert {one.name for one in whole.signature.params.params} == {
        "k",
        "exclude_seen",
        "on_unknown",
    }
    pyfunc = mlflow.pyfunc.load_model(whole.model_uri)
    found = pyfunc.predict(pd.DataFrame({"user_id": ["x"], "item_id": [900]}))
    assert len(found) == 10 and found["item_id"].dtype == "int64"
    assert len(recae.mlflow.load_model(whole.model_uri).recommend([100], k=1)) == 1


def test_mistakes_are_named(store: Path, model: recae.Recommender, tmp_path: Path) -> None:
    for call in (
        lambda: recae.mlflow.log_model("model"),
        lambda: recae.mlflow.log_model(model, aliases=["champion"]),
        lambda: recae.mlflow.log_model(model, with_history="yes"),
        lambda: recae.mlflow.log_model(model, alias="champion"),
        lambda: recae.mlflow.log_model(model, 5),
        lambda: recae.mlflow.log_model(model, ""),
        lambda: recae.mlflow.log_model(model, registered_model_name=""),
        *(
            lambda wrong=wrong: recae.mlflow.log_model(
                model, registered_model_name="likes", aliases=wrong
            )
            for wrong in (None, 5, [3], [""], {"champion": 1})
        ),
        lambda: recae.mlflow.load_model(3),
        lambda: recae.mlflow.load_model(""),
    ):
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(StorageError):
        recae.mlflow.log_model(model, "a/b:c")
    for uri in ("models:/nobody/1", "models:/likes@nobody", str(tmp_path), "runs:/x/y"):
        with pytest.raises(DataError):
            recae.mlflow.load_model(uri)


@pytest.mark.parametrize(
    "change",
    [
        {"loader_module": "os"},
        {"data": "../outside"},
        {"data": "."},
        {"data": None},
        {"data": "/"},
    ],
)
def test_a_model_of_somebody_else_is_refused(
    logged: Any, store: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    found = next(iter(store.glob("**/MLmodel")))
    folder = tmp_path / "copy"
    shutil.copytree(found.parent, folder)
    shutil.copytree(folder / "data" / "recae", tmp_path / "outside")
    about = yaml.safe_load((folder / "MLmodel").read_text())
    about["flavors"]["python_function"] |= change
    (folder / "MLmodel").write_text(yaml.safe_dump(about))
    with pytest.raises(DataError):
        recae.mlflow.load_model(str(folder))


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, model: recae.Recommender) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for call in (lambda: recae.mlflow.log_model(model), lambda: recae.mlflow.load_model("x")):
        with pytest.raises(ConfigError, match=r"recae\[mlflow\]"):
            call()
