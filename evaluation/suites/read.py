"""A suite, read from `evaluation/suites/NAME.toml`: data, protocol, models, searches, seeds.

title = "..."                 one line
about = "..."                 what is measured on which data, and who published the setting

[data]                        where the tables are
dataset = "gowalla"           downloaded as its card says if no folder is given; preprocessed = true
                              applies the published filters
train = "train.parquet"       tables by their role in the folder (see data.ROLES)
columns = { user = "user", item = "item" }
min_weight, min_per_user, min_per_item, k_core, binarise, top_users: filters of one table

[protocol]                    kind = "fixed" | "folds" | "strong" | "random", with its settings

[measure]                     metric = "recall@20" chooses and sorts; metrics = [...] are kept

[tuning]                      seconds per model, patience (trials in a row without a better one
                              that end a search), sampler, halving
seeds = 3                     number of fits of a random model; other models are fitted once

[models.ease]                 model = "EASE", set = { l2 = 80 },
                              search = { l2 = { low = 1.0, high = 1e4 }, latent = [32, 64] }
                              or search = "usual"; without it nothing is tuned
                              top_items = 10000: the settings are chosen on the most popular items
                              alone, because a fit on all takes minutes
                              validation_users = 4000: pairs of that many users are held out,
                              because to measure on all takes minutes
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import recae
from recae.errors import ConfigError, unknown_option

SUITES = Path(__file__).parent

_TABLES = {"title", "about", "data", "protocol", "measure", "tuning", "models", "seeds"}
_MODEL = {
    "model",
    "preset",
    "set",
    "search",
    "top_items",
    "validation_users",
    "seeds",
    "note",
    "published",
    "members",
}
_TUNING = {"seconds", "patience", "sampler", "halving"}


@dataclass(frozen=True)
class Candidate:
    """A model of a suite: its fixed settings, its search space and its number of fits."""

    name: str
    template: recae.Recommender
    search: Mapping[str, Any] | None
    seeds: int
    published: str
    note: str = ""
    members: tuple[str, ...] = ()
    top_items: int | None = None
    validation_users: int | None = None

    @property
    def is_random(self) -> bool:
        """Whether the model depends on the seed. Closed forms and ensembles do not."""
        return self.template.uses_seed and not self.members


@dataclass(frozen=True)
class Suite:
    """The content of `evaluation/suites/NAME.toml`."""

    name: str
    title: str
    about: str
    data: Mapping[str, Any]
    protocol: Mapping[str, Any]
    metric: str
    metrics: tuple[str, ...]
    tuning: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Candidate] = field(default_factory=dict)

    @property
    def members(self) -> set[str]:
        """The members of ensembles. Their fitted models are kept until the ensemble is fitted."""
        return {member for model in self.models.values() for member in model.members}


def suite_names() -> list[str]:
    """The names of all suites."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def read_suite(name: str, folder: Path = SUITES) -> Suite:
    """The suite of this name. Raises ConfigError for an unknown name or invalid content."""
    path = folder / f"{name}.toml"
    if not path.is_file():
        raise unknown_option("suite", name, [p.stem for p in folder.glob("*.toml")])
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}") from error
    _known(path.name, said, _TABLES)
    missing = {"title", "data", "protocol", "measure", "models"} - said.keys()
    if missing:
        raise ConfigError(f"{path.name} has no {', '.join(sorted(missing))}")
    _known(f"{path.name} [tuning]", said.get("tuning", {}), _TUNING)
    _known(f"{path.name} [measure]", said["measure"], {"metric", "metrics"})
    metric = said["measure"]["metric"]
    for model in said["models"].values():
        for member in model.get("members", ()):
            if member not in said["models"]:
                raise unknown_option(f"ensemble member in {path.name}", member, said["models"])
    return Suite(
        name=name,
        title=said["title"],
        about=said.get("about", ""),
        data=said["data"],
        protocol=said["protocol"],
        metric=metric,
        metrics=tuple(dict.fromkeys([metric, *said["measure"].get("metrics", [])])),
        tuning=said.get("tuning", {}),
        models={
            key: _candidate(path.name, key, model, said.get("seeds", 1), metric)
            for key, model in said["models"].items()
        },
    )


def _candidate(file: str, key: str, said: Mapping[str, Any], seeds: int, metric: str) -> Candidate:
    _known(f"{file} [models.{key}]", said, _MODEL)
    kind = said.get("model", key)
    models = [*recae.MODELS.values(), recae.AutoEnsemble]
    known = {model.__name__: model for model in models} | {model.name: model for model in models}
    if kind not in known:
        raise unknown_option(f"model in {file}", kind, known)
    model = known[kind].preset(said["preset"]) if "preset" in said else known[kind]()
    settings = {name: _setting(value) for name, value in said.get("set", {}).items()}
    if "metric" in model.param_fields():
        settings = {"metric": metric} | settings
    members = tuple(said.get("members", ()))
    model.set_params(**settings).check_params()
    search = said.get("search")
    if isinstance(search, Mapping):
        search = {name: _range(file, key, name, values) for name, values in search.items()}
    elif search not in (None, "usual"):
        raise ConfigError(f'{file}: search of {key} is a table or "usual", not {search!r}')
    else:
        search = None if search is None else {}
    return Candidate(
        name=key,
        template=model,
        search=search,
        seeds=said.get("seeds", seeds if model.uses_seed and not members else 1),
        published=said.get("published", key),
        note=said.get("note", ""),
        members=members,
        top_items=said.get("top_items"),
        validation_users=said.get("validation_users"),
    )


def _range(file: str, key: str, name: str, values: Any) -> Any:
    """A list of choices unchanged, or a table of low and high as a pair that `recae.tune` takes."""
    if isinstance(values, list):
        return [_setting(value) for value in values]
    if isinstance(values, Mapping) and values.keys() == {"low", "high"}:
        return values["low"], values["high"]
    raise ConfigError(
        f"{file}: search.{name} of {key} is a list of choices or {{ low = ..., high = ... }}, "
        f"not {values!r}"
    )


def _setting(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _known(where: str, said: Any, known: set[str]) -> None:
    if not isinstance(said, Mapping):
        raise ConfigError(f"{where} must be a table, not {said!r}")
    for key in said:
        if key not in known:
            raise unknown_option(f"entry of {where}", key, known)
