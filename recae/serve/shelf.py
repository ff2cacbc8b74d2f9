"""The models that are served: loaded from folders, replaced while they answer."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recae.data import ItemTable
from recae.errors import ConfigError, DataError, RecaeError, check_number, explained, unknown_option
from recae.estimators.saved import CONFIG, load
from recae.recommend import Recommender
from recae.recommend.weights import warn_if_missing
from recae.system.files import as_path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A name is a part of addresses and of metrics."""


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded model. A request takes one and keeps it, whatever is loaded meanwhile.

    version: the fingerprint of the model. titles: of its items, if the service has them. loaded_at:
    when it was loaded, UTC.
    """

    name: str
    path: Path
    version: str
    model: Recommender
    titles: ItemTable | None
    loaded_at: datetime


@dataclass(frozen=True)
class Reload:
    """What became of an attempt to load a model again.

    served: the new model, or None if the folder could not be loaded and the old model stays; error:
    why. seconds: how long it took.
    """

    name: str
    served: Served | None
    error: RecaeError | None
    seconds: float


class Shelf:
    """The models that are served, by name; the first is the default.

    places: name -> folder, or a link to one. Names have letters, digits and `. _ -`. shares: name
    -> the share of the users for whom this challenger answers in place of the default, between 0
    and 1. Which users these are depends on the hash of their ids only: not on the process, the
    version or the order of requests. titles: an `ItemTable`, or what it reads.

    Any number of threads may use it. A reload replaces one reference: whoever has taken a model
    keeps it until he lets go, and then its memory is free.

    Raises DataError for a folder that cannot be loaded or holds no recommender, and ConfigError for
    names and shares that are impossible.

    >>> from recae.serve import Shelf
    >>> path = recae.EASE().fit(data).save("on-shelf")
    >>> shelf = Shelf({"ease": path, "new": path}, shares={"new": 0.1})
    >>> shelf.get().name, shelf.get("new").version == shelf.get("ease").version
    ('ease', True)
    """

    @explained
    def __init__(
        self,
        places: Mapping[str, Path | str],
        *,
        shares: Mapping[str, float] | None = None,
        titles: Any = None,
    ) -> None:
        if not isinstance(places, Mapping) or not places:
            raise ConfigError(
                f"a service needs models, {{name: folder}}, not {places!r}",
                parameter="places",
                value=places,
            )
        self.places = {_checked(name): as_path(path) for name, path in places.items()}
        self.shares = _shares(shares or {}, [*self.places])
        self.titles: ItemTable | None = titles
        if titles is not None and not isinstance(titles, ItemTable):
            self.titles = ItemTable(titles)
        self.served: dict[str, Served] = {}
        self.watchers: list[Callable[[Reload], None]] = []
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()
        for name in self.places:
            self.reload(name)

    def give_titles(self, titles: Any) -> None:
        """Titles for the items of all models, also of those that are loaded later.

        titles: an `ItemTable`, or what it reads. Raises DataError if they do not fit a model.
        """
        table = titles if isinstance(titles, ItemTable) else ItemTable(titles)
        with self._lock:
            for served in self.served.values():
                _check_titles(table, served.name, served.model)
            self.titles = table
            self.served = {
                name: replace(served, titles=table) for name, served in self.served.items()
            }

    def names(self) -> list[str]:
        """The names, the default first."""
        return list(self.places)

    def get(self, name: str | None = None, user: int | str | None = None) -> Served:
        """The model of a name; without one that of a user: the default, or a challenger. The users
        7 and "7" are one user here.

        Raises ConfigError for an unknown name.
        """
        if name is None:
            name = self._of_user(user)
        served = self.served.get(name)
        if served is None:
            raise unknown_option("model", name, self.names(), parameter="model")
        return served

    def _of_user(self, user: int | str | None) -> str:
        """The model of a user among the challengers, by a digest of the id: the same in every
        process and after a restart."""
        first = next(iter(self.places))
        if user is None or not self.shares:
            return first
        digest = hashlib.sha256(str(user).encode("utf-8", "surrogatepass")).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        for name, share in self.shares.items():
            if point < share:
                return name
            point -= share
        return first

    # Reloading.

    def reload(self, name: str | None = None) -> None:
        """Loads one model again, or all. The old one answers until the new one is ready.

        Raises ConfigError for an unknown name, and DataError for a folder that cannot be loaded;
        the old model then stays.
        """
        for one in self.names() if name is None else [name]:
            if one not in self.places:
                raise unknown_option("model", one, self.names(), parameter="model")
            done = self._load(one)
            if done.error is not None:
                raise done.error

    def refresh(self) -> list[Reload]:
        """Loads the models again whose folders have changed: a poll, which takes microseconds where
        nothing has. Nothing is raised; `Reload.error` says what failed.

        A folder has changed if its config.json is another file, or has another time or content. A
        folder that cannot be loaded is tried again after 1, 2, 4, ... 64 polls: it may still be
        being copied.
        """
        done = []
        for name, place in self.places.items():
            seen, now = self._seen[name], _identity(place)
            if now == seen.loaded:
                seen.failures = seen.wait = 0
                continue
            if now != seen.failed:
                seen.failures = seen.wait = 0
            if seen.wait > 0:
                seen.wait -= 1
                continue
            done.append(self._load(name))
        return done

    def _load(self, name: str) -> Reload:
        """Loads a model beside the one that answers, which stays if that fails. After failures it
        waits longer and longer for the same files."""
        start = datetime.now(UTC)
        with self._lock:
            seen = self._seen.setdefault(name, _Seen())
            identity = _identity(self.places[name])
            served, error = None, None
            try:
                served = self._loaded(name)
            except RecaeError as found:
                error = found
            except Exception as found:  # a class of a user may raise anything
                reason = " ".join(str(found).split())
                error = DataError(
                    f"{self.places[name]} cannot be loaded: {type(found).__name__}: {reason}"
                )
            if served is None:
                seen.failed, seen.wait = identity, min(2**seen.failures, 64) - 1
                seen.failures += 1
            else:
                seen.loaded, seen.failed = identity, None
                seen.failures = seen.wait = 0
                self.served = {**self.served, name: served}
        reload = Reload(name, served, error, (datetime.now(UTC) - start).total_seconds())
        for tell in self.watchers:
            tell(reload)
        return reload

    def _loaded(self, name: str) -> Served:
        """A model, checked against the titles and warmed up by two first answers. Raises
        DataError."""
        path = self.places[name]
        model = load(path, Recommender)
        if self.titles is not None:
            _check_titles(self.titles, name, model)  # else each request would be refused
        version = model._loaded_as or model.fingerprint()
        served = Served(name, path, version, model, self.titles, datetime.now(UTC))
        if len(model.items_):
            first = model.items_.ids[:1].tolist()
            model.recommend(history=first, k=1)  # the first calls are slow
            model.recommend_ids(first, k=1)
        warn_if_missing(model, np.ones(1), where=f"a request for {name}, a list of ids,")
        return served


def _check_titles(titles: ItemTable, name: str, model: Recommender) -> None:
    try:
        titles.places(model.items_)
    except DataError as error:
        raise DataError(
            f"the titles do not fit the model {name}: {error}", parameter="titles"
        ) from None


@dataclass
class _Seen:
    """The identities of the folder that was loaded and of the one that could not be."""

    loaded: tuple[Any, ...] | None = None
    failed: tuple[Any, ...] | None = None
    failures: int = 0
    wait: int = 0


def _identity(folder: Path) -> tuple[Any, ...]:
    """What tells one saved folder from another: inode, time and digest of its config.json."""
    try:
        with (folder / CONFIG).open("rb") as file:
            found = os.fstat(file.fileno())
            digest = hashlib.sha256(file.read()).digest()
    except OSError as error:
        return (type(error).__name__,)
    return found.st_dev, found.st_ino, found.st_mtime_ns, digest


def _checked(name: object) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"a served model is named by 1 to 64 letters, digits and . _ -, not {name!r}",
            parameter="model",
            value=name,
        )
    return name


def _shares(shares: Mapping[str, float], names: list[str]) -> dict[str, float]:
    """The shares of the challengers. Raises ConfigError."""
    if not isinstance(shares, Mapping):
        raise ConfigError(
            f"shares must be {{name: share}}, not {shares!r}", parameter="shares", value=shares
        )
    for name, share in shares.items():
        if name not in names:
            raise unknown_option("challenger", name, names, parameter="shares")
        if name == names[0]:
            raise ConfigError(
                f"{name} is the default model: it has the share that challengers leave",
                parameter="shares",
                value=name,
            )
        check_number(f"the share of {name}", share, above=0, high=1)
    if sum(shares.values()) > 1 + 1e-9:
        raise ConfigError(
            f"the shares of the challengers add up to {sum(shares.values()):g}, more than 1",
            parameter="shares",
            value=dict(shares),
        )
    return {name: float(share) for name, share in shares.items()}
