"""The models that are served: loaded from folders, replaced while they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recae.data import ItemTable
from recae.errors import ConfigError
from recae.estimators.saved import load
from recae.recommend import Recommender


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded model. A request takes one and keeps it, whatever is loaded meanwhile."""

    name: str
    path: Path
    version: str
    model: Recommender
    titles: ItemTable | None
    loaded_at: datetime


class Shelf:
    """The models that are served, by name; the first is the default."""

    def __init__(
        self,
        places: Mapping[str, Path],
        *,
        shares: Mapping[str, float] | None = None,
        titles: Any = None,
    ) -> None:
        self.places, self.shares = dict(places), dict(shares or {})
        self.titles = None if titles is None else ItemTable(titles)
        self.served: dict[str, Served] = {}
        self.reload()

    def names(self) -> list[str]:
        """The names, the default first."""
        return list(self.places)

    def get(self, name: str | None = None, user: str | None = None) -> Served:
        """The model of a name; without one the default, or the challenger of this user."""
        if name is None:
            name = self._of_user(user)
        if name not in self.served:
            raise ConfigError(f"no model {name!r} is served", parameter="model", value=name)
        return self.served[name]

    def _of_user(self, user: str | None) -> str:
        first = next(iter(self.places))
        if user is None:
            return first
        digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        for name, share in self.shares.items():
            if point < share:
                return name
            point -= share
        return first

    def reload(self, name: str | None = None) -> None:
        """Loads one model again, or all."""
        for one in self.places if name is None else [name]:
            model = load(self.places[one], Recommender)
            now = datetime.now(UTC)
            served = Served(one, self.places[one], model.fingerprint(), model, self.titles, now)
            self.served = {**self.served, one: served}
