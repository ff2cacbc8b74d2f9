"""Fold and Split: a training part, and histories with held-out targets."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from recae.data.interactions import Interactions
from recae.errors import DataError


@dataclass(frozen=True)
class Fold:
    """Users whose `history` a model sees and whose `target` it should rank high.

    mask: the interactions that must not be recommended; None means the history. All have the same
    users and the same items, else DataError. A user with an empty target counts in no mean.

    >>> recae.Fold(history=data, target=data)
    Fold(5 users, 11 interactions in the history, 11 in the target)
    """

    history: Interactions
    target: Interactions
    mask: Interactions | None = None

    def __post_init__(self) -> None:
        for name in ("history", "target", "mask"):
            value = getattr(self, name)
            if not isinstance(value, Interactions) and (name, value) != ("mask", None):
                raise DataError(
                    f"the {name} of a fold must be Interactions, not {type(value).__name__}"
                )
        for name, part in (("target", self.target), ("mask", self.mask)):
            for ids in ("users", "items"):
                if part is not None and getattr(part, ids) != getattr(self.history, ids):
                    raise DataError(
                        f"the {name} of a fold must have the {ids} of its history, in the same "
                        "order; see Interactions.with_users and with_items"
                    )

    def fingerprint(self) -> str:
        """16 hex digits that change with any of its parts, see `Interactions.fingerprint`.

        >>> len(recae.Fold(data, data).fingerprint())
        16
        """
        parts = [self.history, self.target] + ([] if self.mask is None else [self.mask])
        return sha256("".join(part.fingerprint() for part in parts).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return (
            f"Fold({self.history.n_users:,} users, {self.history.nnz:,} interactions in the "
            f"history, {self.target.nnz:,} in the target)"
        )


@dataclass(frozen=True)
class Split:
    """A training part, a fold for validation and a fold for the test, all over its items.

    left_out: held-out interactions that are in no part, because the training part does not have
    their item (or, in a split by time, their user). Raises DataError if a fold has other items than
    the training part.

    >>> recae.data.splits.Split(train=data, validation=None, test=None).left_out
    0
    """

    train: Interactions
    validation: Fold | None
    test: Fold | None
    left_out: int = 0

    def __post_init__(self) -> None:
        for name, fold in (("validation", self.validation), ("test", self.test)):
            if fold is not None and fold.history.items != self.train.items:
                raise DataError(
                    f"the {name} fold must have the items of the training part, in the same order"
                )

    def __repr__(self) -> str:
        lines = [
            f"train       {self.train!r}",
            f"validation  {self.validation!r}",
            f"test        {self.test!r}",
        ]
        if self.left_out:
            lines.append(
                f"left out    {self.left_out:,} interactions with users or items not in train"
            )
        return "Split(\n  " + "\n  ".join(lines) + "\n)"
