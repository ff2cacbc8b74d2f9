"""Tastes: what a recommender's codes are made of, in words, and recommendations turned by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.steer.decoding import moved_scores
from recae.apply.steer.naming import describe
from recae.apply.steer.turning import renamed, strengths
from recae.data import as_interactions
from recae.errors import ConfigError, check_flag
from recae.ranking.batches import rank_batches, rows_per_batch
from recae.ranking.top_k import check_k
from recae.recommend.base import Recommender
from recae.recommend.requests import align, resolve, top_k_frame
from recae.system.forks import survives_fork
from recae.system.memory import enough_memory
from recae.transformers import SparseAutoencoder

KEPT = 100
"""Items of a unit that are kept."""

TOGETHER = 10
"""Items of a unit of which it is counted how often they meet."""


@dataclass(eq=False, repr=False)
class Tastes:
    """Units of a sparse code over a recommender's latent space; `find_tastes` makes one.

    A user's code is z ~ b + sum_j s_j m_j: m_j, `moves[j]`, is what unit j adds to the code of a
    user who has it as strongly as those who have it do on average, and s_j is its strength in a
    user, 0 in most. To turn a unit up by t, z' = z + t m_j goes through the recommender's decoder:
    the part of z that the units do not explain stays, and t = 0 changes nothing, to the bit.

    Units are numbered from the one that most users have. model: the recommender; moves:
    (units, latent) float32; users: how many of the `of_users` users had each unit, (units,); top:
    each unit's items, best first, as columns of `model.items_`, (units, at most 100); raised: by
    how much they rise more than the catalogue, in scores; together: how often its first ten meet in
    a history, 1 being chance, (units,); explained: share of the variance of the codes that the
    units explain; dead: units that nobody had.

    >>> from recae.apply.steer import find_tastes
    >>> model = recae.PureSVD(latent=2).fit(data)
    >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
    >>> tastes.moves.shape
    (3, 2)
    """

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
        """Names every unit, and remembers the names: a frame with a row for each unit.

        titles: by item id, a mapping, a Series, or a frame with a column `title` such as
        `load_dataset().items`; ids serve where there are none. genres: the same with a column
        `genres` of texts such as "Comedy|Drama" or of lists, or a frame of `item_id, category`; by
        default the titles, if they have that column.

        A unit's items are those whose scores rise most when it is turned up, by more than the
        catalogue's mean, once what follows the logarithm of the items' number of training users is
        taken away: a unit that raises all that is popular, or obscure, is not about that. Only the
        better-known half of the items can be among them. The name is the genres that tell most of
        the first 20 (in a small catalogue, of a tenth of those that can be), then the first k
        titles.

        Columns: unit, name; genre, the one that tells most (None if none does), precision, the
        share of these first that have it, lift, that as a multiple of its share among the items
        that could have been, and support, how many of them have it (genres only); users and
        share, who had the unit; together, how often its first ten items meet in a history, as a
        multiple of chance; rise, by how much a strength of 1 raises the first k, in scores.

        Raises DataError for titles and genres that cannot be used, ConfigError for a bad k.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> len(tastes.name({0: "Alien", 1: "Heat", 2: "Big", 3: "Jaws"}, k=2))
        3
        """
        frame = describe(self, titles, check_k(k), genres)
        self.names = frame["name"].tolist()
        return frame

    def rename(self, names: dict[int | str, str]) -> None:
        """Calls units what you like: {unit, or its name: new name}.

        Raises ConfigError for a unit that is not there, a name that is none, or another's.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> tastes.rename({0: "classics"})
        >>> tastes.names[0]
        'classics'
        """
        self.names = renamed(self.names, names)

    @survives_fork
    def strengths(self, history: Any) -> np.ndarray:
        """How strongly each history has each unit, (rows, units) float32, 0 where it has it not.

        1 is the mean of those who have the unit, among the users it was found on. Raises DataError
        for a history that is none.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> tastes.strengths(data).shape
        (5, 3)
        """
        matrix = align(as_interactions(history, self.model.items_), self.model.items_).matrix
        return self._strengths(matrix)

    @survives_fork
    def profile(self, history: Any, users: Any = None, k: int = 5) -> pd.DataFrame:
        """The units of each user, strongest first: a frame `user_id, unit, name, strength, rank`.

        history, users: as in `recommend`. k: units of a user, at most. A strength of 1 is the mean
        of those who have the unit. Raises DataError for the data, ConfigError for a bad k.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> tastes.profile(data)["rank"].tolist()
        [1, 1, 1, 1, 1]
        """
        k = check_k(k)
        request = resolve(self.model.items_, self.model.history_, users, history, "raise")
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
    def score(self, history: Any, turn: Any = None) -> np.ndarray:
        """All scores of the histories with units turned, (rows, n_items) float32.

        As `Recommender.score`; turn: as in `recommend`. For `recae.evaluate`, give this to a
        `Scorer`. Raises DataError for a history that is none, ConfigError for a bad turn,
        CapacityError if the scores do not fit in memory.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> bool((tastes.score(data) == model.score(data)).all())
        True
        """
        move = self._move(turn)
        matrix = align(as_interactions(history, self.model.items_), self.model.items_).matrix
        step = rows_per_batch("auto", matrix.shape[1])
        with enough_memory(f"{matrix.shape[0]:,} x {matrix.shape[1]:,} scores at once"):
            out = np.empty(matrix.shape, dtype=np.float32)
        for start in range(0, len(out), step):
            some = matrix[start : start + step]
            out[start : start + step] = moved_scores(self.model, some, move).cpu().numpy()
        return out

    @survives_fork
    def recommend(
        self,
        history: Any = None,
        k: int = 10,
        *,
        turn: Any = None,
        users: Any = None,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        batch_size: int | str = "auto",
    ) -> pd.DataFrame:
        """The best k items of each user with units turned: a frame `user_id, item_id, score, rank`.

        turn: {unit, its name, or a part of it that no other has: strength}. A strength of 1 adds
        the unit as strongly as those who have it do on average, -1 takes as much away; a quarter
        is a nudge. Without turn, or with strengths of 0, these are the recommendations of the
        model, to the bit. The other options, and what comes back, are those of
        `Recommender.recommend`.

        Raises ConfigError for a unit or name that is not there, with the nearest spelling, and for
        strengths that are no finite number; otherwise as `Recommender.recommend`.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> list(tastes.recommend(data, k=1, turn={0: 0.5}))
        ['user_id', 'item_id', 'score', 'rank']
        """
        move = self._move(turn)
        model = self.model
        request, allowed = model._request(users, history, items, exclude_items, on_unknown)
        ranked = rank_batches(
            lambda matrix: moved_scores(model, matrix, move),
            request,
            min(check_k(k), len(model.items_)),
            exclude=request.matrix if check_flag("exclude_seen", exclude_seen) else None,
            allowed=allowed,
            popularity=model.item_counts_,
            batch_size=batch_size,
        )
        frames = [top_k_frame(request.users[rows], model.items_, top) for rows, top in ranked]
        return pd.concat(frames, ignore_index=True)

    def agreement(self, other: Tastes) -> np.ndarray:
        """The cosine of each unit with the most similar one of other tastes, (units,) float32.

        Of tastes found in the same model with another seed it says which units are no accident.
        Raises ConfigError for tastes of another width.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> tastes.agreement(tastes).round(3).tolist()
        [1.0, 1.0, 1.0]
        """
        if other.moves.shape[1] != self.moves.shape[1]:
            raise ConfigError(
                f"these tastes are of codes of {self.moves.shape[1]} numbers, the others of "
                f"{other.moves.shape[1]}: compare tastes of one model"
            )
        one, two = (
            part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-30)
            for part in (self.moves, other.moves)
        )
        best: np.ndarray = (one @ two.T).max(axis=1)
        return best

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the tastes to a directory, without the model, for `recae.apply.steer.load_tastes`.

        JSON and safetensors, whole or not at all. Raises StorageError for a path that is taken
        (unless it holds something saved and `overwrite`), no permission or a full disk.

        >>> from recae.apply.steer import find_tastes
        >>> model = recae.PureSVD(latent=2).fit(data)
        >>> tastes = find_tastes(model, data, units=3, active=1, min_users=1, epochs=20)
        >>> tastes.save("tastes").name
        'tastes'
        """
        from recae.apply.steer.storage import save_tastes

        return save_tastes(self, path, overwrite=overwrite)

    def _strengths(self, matrix: Any) -> np.ndarray:
        codes = self.model._embed_rows(matrix).cpu().numpy()
        found: np.ndarray = self.dictionary.transform(codes)[:, self.units] / self.usual
        return found.astype(np.float32)

    def _move(self, turn: Any) -> np.ndarray:
        move: np.ndarray = strengths(turn, self.names) @ self.moves
        return move.astype(np.float32)
