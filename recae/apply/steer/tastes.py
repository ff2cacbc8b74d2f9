"""Tastes: interpretable units of latent codes, and recommendations shifted by them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recae.apply.steer.naming import describe, renamed, strengths
from recae.errors import ConfigError, check_flag, check_integer, explained
from recae.estimators.saved import Contents, register, write
from recae.models.factors._base import FactorRecommender
from recae.models.neural._base import NeuralRecommender
from recae.ranking.batches import dense
from recae.recommend.base import Recommender
from recae.recommend.requests import histories_of, resolve, rows_as_frame
from recae.system.threads import survives_fork
from recae.transformers import SparseAutoencoder

ARRAYS = ("units", "usual", "moves", "users", "top", "raised", "together")
NUMBERS, DICTIONARY = ("of_users", "explained", "dead"), "dictionary."
"""The saved fields, and the prefix of the arrays of the dictionary."""


@explained
@register
@dataclass(eq=False, repr=False)
class Tastes:
    """Units of a sparse code over a recommender's latent space, as found by `find_tastes`.

    A user's code is z ~ b + sum_j s_j m_j. m_j, `moves[j]`, is the direction of unit j, scaled to
    the mean strength of the users who have the unit. s_j is the user's strength, 0 for most users.
    A shift of unit j by t decodes z' = z + t m_j. The part of z that the units do not explain is
    kept, and t = 0 gives exactly the scores of the model.

    Units are in descending order of their number of users. model: the recommender. moves: (units,
    latent) float32. users: how many of the `of_users` users have each unit, (units,). top: each
    unit's items, best first, as columns of `model.items_`, (units, at most 100). raised: how much
    their scores rise beyond the catalogue's. together: how often its first ten items occur together
    in a history, relative to chance, (units,). explained: the share of the variance of the codes
    that the units explain. dead: the number of units without any user.

    >>> model = recae.PureSVD(latent=2).fit(data)
    >>> from recae.apply.steer import find_tastes
    >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, seed=1)
    >>> tastes.moves.shape
    (3, 2)
    """

    needs_model: ClassVar[bool] = True

    model: Recommender
    dictionary: SparseAutoencoder
    units: np.ndarray
    usual: np.ndarray
    moves: np.ndarray
    users: np.ndarray
    of_users: int
    top: np.ndarray
    raised: np.ndarray
    together: np.ndarray
    explained: float
    dead: int
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.names:
            self.name()

    def __len__(self) -> int:
        """The number of units."""
        return len(self.units)

    def __repr__(self) -> str:
        rare = self.dictionary.latent - len(self) - self.dead
        model = type(self.model).__name__
        return f"Tastes({len(self)} units over {model}, {self.dead} dead, {rare} too rare)"

    def name(self, titles: Any = None, k: int = 3, *, genres: Any = None) -> pd.DataFrame:
        """Names all units and stores the names; returns a frame with a row for each unit.

        titles: by item id, a mapping, a Series, or a table with a column `title` such as
        `load_dataset().items`; items without a title are named by their id. genres: the same with a
        column `genres` of texts such as "Comedy|Drama" or of lists, or a table with `item_id` and
        `category`. The default is the table of titles, if it has that column.

        A unit's items are those whose scores rise most when the unit is shifted up, adjusted for
        popularity. The adjustment subtracts the catalogue's mean and the linear effect of the
        logarithm of the number of training users. Only the more popular half of the items is
        considered. The name has the most characteristic genres of the first 20 items (of a tenth of
        the considered ones in a small catalogue), then the first k titles.

        Columns: unit and name. With genres: genre, the most characteristic one (None if there is
        none); precision, its share of these first items; lift, precision divided by its share of
        the considered items; support, the number of items that have it. users and share: the users
        who have the unit. together: how often its first ten items occur together in a history,
        relative to chance. rise: how much a strength of 1 raises the scores of the first k items.

        Raises DataError for unusable titles and genres, ConfigError for a bad k.

        >>> len(tastes.name({0: "Alien", 1: "Heat", 2: "Big", 3: "Jaws"}, k=2))
        3
        """
        k, model = check_integer("k", k), self.model
        frame = describe(model.items_, model.item_counts_, self.top, titles, k, genres)
        self.names = frame["name"].tolist()
        return frame.assign(
            users=self.users,
            share=self.users / self.of_users,
            together=self.together,
            rise=self.raised[:, :k].mean(axis=1),
        )

    def rename(self, names: dict[int | str, str]) -> None:
        """Renames units: {unit, or its name: new name}.

        Raises ConfigError for an unknown unit, for an empty name and for a name that another has.

        >>> tastes.rename({0: "classics"})
        >>> tastes.names[0]
        'classics'
        """
        self.names = renamed(self.names, names)

    @survives_fork
    def strengths(self, history: Any, *, as_frame: bool = False) -> np.ndarray | pd.DataFrame:
        """Strengths, (rows, units) float32; rows by ascending user id of a table, else as given.

        0 where a unit is absent; 1 is the mean of the users who have the unit, among those on whom
        the tastes were found. history: as in `Recommender.recommend`. as_frame: a frame with the
        user ids as its index and the names of the units as its columns.
        Raises DataError for an unusable history.

        >>> tastes.strengths(data).shape
        (5, 3)
        """
        named, rows = check_flag("as_frame", as_frame), histories_of(self.model, history)
        found = self._strengths(rows.matrix)
        return rows_as_frame(found, rows.users.ids, pd.Index(self.names, name="unit"), named)

    @survives_fork
    def profile(self, history: Any, users: Any = None, k: int = 5) -> pd.DataFrame:
        """The units of each user, strongest first: a frame `user_id, unit, name, strength, rank`.

        history, users: as in `recommend`. k: the largest number of units of a user. A strength of 1
        is the mean of the users who have the unit. Raises DataError for unusable data, ConfigError
        for a bad k.

        >>> tastes.profile(data)["rank"].tolist()
        [1, 1, 1, 1, 1]
        """
        k = check_integer("k", k)
        request = resolve(self.model, users, history, "raise")
        found = self._strengths(request.matrix)
        order = np.argsort(-found, axis=1, kind="stable")[:, :k]
        values = np.take_along_axis(found, order, axis=1)
        rows, places = np.nonzero(values > 0)
        units = order[rows, places]
        return pd.DataFrame(
            {
                "user_id": request.users[rows],
                "unit": units,
                "name": [self.names[unit] for unit in units],
                "strength": values[rows, places],
                "rank": places + 1,
            }
        )

    @survives_fork
    def score(
        self, history: Any, shift: Any = None, *, as_frame: bool = False
    ) -> np.ndarray | pd.DataFrame:
        """All scores after a shift of units, (rows, n_items) float32, rows as in
        `Recommender.score`; as_frame: with the item ids as columns.

        As `Recommender.score`; shift: as in `recommend`. To evaluate it, pass this method to a
        `recae.evaluation.Scorer`. Raises DataError for an unusable history, ConfigError for a bad
        shift, CapacityError if the scores do not fit in memory.

        >>> bool((tastes.score(data) == tastes.model.score(data)).all())
        True
        """
        shifted = self._shifted(shift)
        return shifted.score(history, as_frame=True) if as_frame else shifted.score(history)

    @survives_fork
    def recommend(
        self,
        history: Any = None,
        k: int = 10,
        *,
        shift: Any = None,
        users: Any = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
        batch_size: int | str = "auto",
    ) -> pd.DataFrame:
        """The best k items of each user after a shift of units.

        Returns a frame `user_id, item_id, score, rank`.
        shift: {unit, its name, or a part of the name that is in no other: strength}. A strength of
        1 adds the unit at the mean strength of the users who have it, -1 subtracts as much; 0.25 is
        a small change. Without a shift, or with strengths of 0, the result is exactly that of the
        model. The other options and the result are those of `Recommender.recommend`.

        Raises ConfigError for an unknown unit or name, with the nearest spelling, and for strengths
        that are not finite numbers; otherwise as `Recommender.recommend`.

        >>> list(tastes.recommend(data, k=1, shift={0: 0.5}))
        ['user_id', 'item_id', 'score', 'rank']
        """
        return self._shifted(shift).recommend(
            users,
            k,
            history=history,
            exclude_seen=exclude_seen,
            items=items,
            exclude_items=exclude_items,
            on_unknown=on_unknown,
            on_unknown_items=on_unknown_items,
            batch_size=batch_size,
        )

    def agreement(self, other: Tastes) -> np.ndarray:
        """The cosine of each unit with the most similar unit of other tastes, (units,) float32.

        Compared with tastes of the same model and another seed, it shows which units are stable.
        Raises ConfigError for tastes of another width.

        >>> tastes.agreement(tastes).round(3).tolist()
        [1.0, 1.0, 1.0]
        """
        if other.moves.shape[1] != self.moves.shape[1]:
            raise ConfigError(
                f"these tastes have codes of width {self.moves.shape[1]}, the others of "
                f"{other.moves.shape[1]}: compare tastes of the same model"
            )
        one, two = (
            part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-30)
            for part in (self.moves, other.moves)
        )
        return np.asarray((one @ two.T).max(axis=1))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the tastes to a folder, without their model: `recae.load(path, model=model)`.

        The folder appears when it is complete. Raises StorageError for a path that is taken
        (unless it holds something saved and `overwrite`), no permission or a full disk.

        >>> recae.load(tastes.save("tastes"), model=tastes.model).names == tastes.names
        True
        """
        dictionary = self.dictionary._contents()
        model = {"kind": type(self.model).__name__, "fingerprint": self.model.fingerprint()}
        settings = {
            "model": model,
            "dictionary": dictionary.settings,
            "numbers": {name: getattr(self, name) for name in NUMBERS},
            "names": self.names,
            "facts": {"Model": model, "Units": {"units": len(self), "users": self.of_users}},
        }
        arrays = {f"{DICTIONARY}{name}": array for name, array in dictionary.arrays.items()}
        for name in ARRAYS:
            arrays[name] = torch.from_numpy(np.ascontiguousarray(getattr(self, name)))
        return write(type(self), Contents(settings, arrays), path, overwrite=overwrite)

    @classmethod
    def _restored(
        cls,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Tensor],
        files: Mapping[str, Path],
        model: Recommender,
    ) -> Tastes:
        """The tastes of a saved folder. Raises ValueError if they were found in another model than
        `model`."""
        check_steerable(model)
        of_model = settings["model"]
        if of_model["fingerprint"] != model.fingerprint():
            raise ValueError(
                f"it holds tastes of another model, a {of_model['kind']}: give the one they were "
                "found in, or find tastes in this one"
            )
        inner = {
            n.removeprefix(DICTIONARY): a for n, a in arrays.items() if n.startswith(DICTIONARY)
        }
        return cls(
            model=model,
            dictionary=SparseAutoencoder._restored(settings["dictionary"], inner, {}),
            names=list(settings["names"]),
            **{name: settings["numbers"][name] for name in NUMBERS},
            **{name: arrays[name].numpy() for name in ARRAYS},  # type: ignore[arg-type]
        )

    def _strengths(self, matrix: Any) -> np.ndarray:
        codes = self.model._embed_rows(matrix).cpu().numpy()
        found: np.ndarray = self.dictionary.transform(codes)[:, self.units] / self.usual
        return found.astype(np.float32)

    def _shifted(self, shift: Any) -> Recommender:
        """The model, or a copy of it that scores shifted codes."""
        move = (strengths(shift, self.names) @ self.moves).astype(np.float32)  # (latent,)
        if not move.any():
            return self.model
        copied: Any = copy.copy(self.model)
        copied._score_rows = lambda matrix: shifted_scores(self.model, matrix, move)
        found: Recommender = copied
        return found


def check_steerable(model: Any) -> None:
    """Raises ConfigError unless the model is a recommender whose codes can be shifted."""
    if isinstance(model, FactorRecommender):
        return
    if isinstance(model, NeuralRecommender):
        with suppress(ConfigError):
            model._code_width()
            return
    why = "has no latent codes" if isinstance(model, Recommender) else "is not a recommender"
    raise ConfigError(
        f"{type(model).__name__} {why}: take an autoencoder with a code, such as MultVAE, MultDAE, "
        "RecVAE or ELSA, or factors, such as ALS, PureSVD, SVDAE or BPR",
        parameter="model",
        value=model,
    )


def shifted_scores(model: Recommender, matrix: Any, move: np.ndarray) -> Tensor:
    """Scores of CSR histories from z' = z + move: (rows, n_items) float32; move: (latent,)."""
    step = torch.from_numpy(np.asarray(move, dtype=np.float32))
    if isinstance(model, FactorRecommender):  # linear in the code
        return dense(model._score_rows(matrix)) + step[None] @ model._item_vectors().T
    assert isinstance(model, NeuralRecommender)
    net = model.network_
    step = step.to(next(net.parameters()).device)

    def read(batch: Any) -> Tensor:
        scores: Tensor = net.decoder(net.encode(batch)[0] + step, batch).dense()
        return scores

    return model._read_rows(read, matrix)
