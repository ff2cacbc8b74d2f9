"""Models in MLflow: the saved folder, with a pyfunc that this module loads. Nothing is pickled.

The artifact holds the folder that `model.save` writes, and its MLmodel names this module as the
`loader_module`. So every tool of MLflow that takes a pyfunc takes it, where recae is installed.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data import IdMap
from recae.errors import ConfigError, DataError, StorageError, check_flag, explained
from recae.errors import unknown_option as unknown
from recae.estimators.saved import load
from recae.recommend import Recommender
from recae.system.machine import __version__

PARAMS: dict[str, tuple[str, Any]] = {
    "k": ("long", 10),
    "exclude_seen": ("boolean", True),
    "on_unknown": ("string", "popular"),
}
"""The parameters of `predict`, their types in MLflow and their defaults."""


@explained
def log_model(
    model: Recommender,
    name: str = "model",
    *,
    registered_model_name: str | None = None,
    aliases: Sequence[str] = (),
    with_history: bool = False,
) -> Any:
    """Logs a fitted recommender to MLflow, in the active run if there is one.

    name: of the logged model. registered_model_name: also registers it, as a new version of that
    model. aliases: names that this version gets in the registry, such as "champion"; another
    version loses them. with_history: as in `save`. Returns the ModelInfo of MLflow.

    `mlflow.pyfunc.load_model(uri).predict(frame)` then takes a row for each interaction (columns
    user_id and item_id), or one for each history (column history, lists of item ids; with user_id,
    or the users are 0, 1, ...), and gives the frame of `recommend`: user_id, item_id, score, rank.
    Its params are `k`, `exclude_seen` and `on_unknown`.

    Needs MLflow (`pip install "recae[mlflow]"`). Raises ConfigError without it and for a bad
    option, and StorageError if MLflow refuses or cannot be reached.

    >>> info = recae.mlflow.log_model(model, "ease")  # doctest: +SKIP
    """
    mlflow = library()
    if not isinstance(model, Recommender):
        raise ConfigError(
            f"model must be a fitted recommender, not {type(model).__name__}",
            parameter="model",
            value=model,
        )
    aliases = [aliases] if isinstance(aliases, str) else aliases
    if not isinstance(aliases, list | tuple) or not all(_is_name(alias) for alias in aliases):
        raise ConfigError(
            f"aliases must be a list of names, not {aliases!r}", parameter="aliases", value=aliases
        )
    for parameter, value in (("name", name), ("registered_model_name", registered_model_name)):
        if not _is_name(value) and (value is not None or parameter == "name"):
            raise ConfigError(
                f"{parameter} must be a text, not {value!r}", parameter=parameter, value=value
            )
    if aliases and registered_model_name is None:
        raise ConfigError(
            "aliases belong to a registered model: give registered_model_name",
            parameter="aliases",
            value=aliases,
        )
    check_flag("with_history", with_history)
    with tempfile.TemporaryDirectory(prefix="recae-") as place:
        folder = model.save(Path(place) / "recae", with_history=with_history)
        try:
            info = mlflow.pyfunc.log_model(
                name=name,
                data_path=str(folder),
                input_example=_example(model),
                registered_model_name=registered_model_name,
                **_about(model),
            )
            for alias in aliases:
                mlflow.MlflowClient().set_registered_model_alias(
                    registered_model_name, alias, info.registered_model_version
                )
        except Exception as error:
            raise StorageError(f"MLflow does not take the model: {_reason(error)}") from error
    return info


@explained
def load_model(uri: str) -> Any:
    """The recommender of a model that `log_model` logged, as `recae.load` gives it.

    uri: "models:/NAME/VERSION", "models:/NAME@ALIAS", "runs:/RUN/NAME", or the path of the model.
    Nothing in it is executed: neither the loader that it names, nor a pickle.

    Needs MLflow (`pip install "recae[mlflow]"`). Raises ConfigError without it, and DataError if
    the model cannot be read or was not logged by recae.

    >>> model = recae.mlflow.load_model("models:/ease@champion")  # doctest: +SKIP
    """
    mlflow = library()
    if not isinstance(uri, str) or not uri:
        raise ConfigError(f"uri must be text, not {uri!r}", parameter="uri", value=uri)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri)).resolve()
        flavour = mlflow.models.Model.load(str(folder)).flavors.get("python_function", {})
        loader, data = flavour.get("loader_module"), flavour.get("data")
    except Exception as error:
        raise DataError(f"{uri} cannot be read from MLflow: {_reason(error)}") from error
    inside = (folder / data).resolve() if isinstance(data, str) else folder
    if loader != __name__ or folder not in inside.parents:
        raise DataError(
            f"{uri} was not logged by recae.mlflow.log_model: its loader is {loader!r:.100}"
        )
    return load(inside, Recommender)


def write_pyfunc(model: Recommender, path: Path) -> None:
    """Writes a model to a new folder as `log_model` does, and logs nothing."""
    with tempfile.TemporaryDirectory(prefix="recae-") as place:
        folder = model.save(Path(place) / "recae")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it has no example of its input
            library().pyfunc.save_model(path=str(path), data_path=str(folder), **_about(model))


def _about(model: Recommender) -> dict[str, Any]:
    return {
        "loader_module": __name__,
        "signature": _signature(model),
        "pip_requirements": [f"recae=={__version__}"],
        "metadata": {"recae_model": model.name, "fingerprint": model.fingerprint()},
    }


def _is_name(given: object) -> bool:
    return isinstance(given, str) and bool(given)


def _load_pyfunc(path: str) -> Predictor:
    """What `mlflow.pyfunc.load_model` calls."""
    return Predictor(load(path, Recommender))


class Predictor:
    """A recommender with the `predict` of a pyfunc."""

    def __init__(self, model: Recommender) -> None:
        self.model = model

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The lists of `recommend`: columns user_id, item_id, score, rank.

        model_input: a frame with the columns user_id and item_id, or with a column history of
        lists of item ids, or a list of such lists. Raises DataError for anything else and
        ConfigError for an unknown parameter.
        """
        given = {name: default for name, (_, default) in PARAMS.items()}
        for key, value in (params or {}).items():
            if key not in given:
                raise unknown("parameter", key, given)
            given[key] = value
        return self.model.recommend(history=_histories(model_input), **given)


def _histories(given: Any) -> Any:
    """Input of a pyfunc as histories that `recommend` takes."""
    if isinstance(given, list):
        if all(isinstance(row, Mapping) for row in given):
            given = pd.DataFrame(given)
        else:
            one = not any(isinstance(row, list | tuple) or hasattr(row, "tolist") for row in given)
            return dict(enumerate([given] if one and given else given))
    if isinstance(given, pd.DataFrame):
        given = given.dropna(axis="columns", how="all") if len(given) else given
        if "history" in given:
            if "user_id" not in given:
                return dict(enumerate(given["history"]))
            users = IdMap(given["user_id"], "user").ids.tolist()  # which are distinct
            return dict(zip(users, given["history"], strict=True))
        if {"user_id", "item_id"} <= {*given.columns}:
            return given[["user_id", "item_id"]]
    raise DataError(
        "predict takes a frame with the columns user_id and item_id, or with a column history of "
        f"lists of item ids ([{{'history': [...]}}, ...] in a request), not {_shown(given)}"
    )


def _shown(given: Any) -> str:
    if isinstance(given, pd.DataFrame):
        return f"the columns {', '.join(map(str, given.columns)) or 'none'}"
    return type(given).__name__


def _signature(model: Recommender) -> Any:
    """The schema of the model for MLflow; ids of users may be of any type."""
    mlflow = library()
    types = mlflow.types.schema
    item = types.DataType.long if model.items_.kind == "int" else types.DataType.string
    user = types.ColSpec(types.AnyType(), "user_id", required=False)
    inputs = [
        user,
        types.ColSpec(item, "item_id", required=False),
        types.ColSpec(types.Array(item), "history", required=False),
    ]
    outputs = [
        user,
        types.ColSpec(item, "item_id"),
        types.ColSpec(types.DataType.float, "score"),
        types.ColSpec(types.DataType.long, "rank"),
    ]
    params = [types.ParamSpec(name, kind, default) for name, (kind, default) in PARAMS.items()]
    return mlflow.models.ModelSignature(
        types.Schema(inputs), types.Schema(outputs), types.ParamSchema(params)
    )


def _example(model: Recommender) -> pd.DataFrame:
    items = model.items_.ids[:2].tolist()
    return pd.DataFrame({"user_id": [1] * len(items), "item_id": items})


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:500]


def library() -> Any:
    """The library MLflow. Raises ConfigError where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own type hints
            import mlflow
            import mlflow.artifacts
            import mlflow.entities
            import mlflow.models
            import mlflow.pyfunc
            import mlflow.types.schema
            import mlflow.utils.time
    except ImportError as error:
        raise ConfigError(
            'logging models needs the library MLflow: pip install "recae[mlflow]"'
        ) from error
    return mlflow
