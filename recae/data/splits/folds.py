"""Fold and Split: a training part, and histories with held-out targets."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from recae.data.csr import is_sparse
from recae.data.interactions import Interactions
from recae.errors import DataError, explained
from recae.system.display import html_table


@explained
@dataclass(frozen=True)
class Fold:
    """Users whose `history` a model sees and whose `target` it should rank high.

    mask: the interactions that must not be recommended; None means the history. All have the same
    users and the same items, else DataError. A user with an empty target counts in no mean. scipy
    matrices become Interactions whose users and items are 0, 1, ..., as a model that was fitted on
    a matrix numbers them.

    >>> recae.Fold(history=data, target=data)
    Fold(5 users, 11 interactions in the history, 11 in the target)
    """

    history: Interactions
    target: Interactions
    mask: Interactions | None = None

    def __post_init__(self) -> None:
        for name in ("history", "target", "mask"):
            value: object = getattr(self, name)
            if is_sparse(value):
                vars(self)[name] = Interactions.from_csr(value)  # it is frozen
            elif not isinstance(value, Interactions) and not (name == "mask" and value is None):
                raise DataError(
                    f"the {name} of a fold must be Interactions or a scipy sparse matrix, not "
                    f"{type(value).__name__}: make one with Interactions.from_frame, and give all "
                    "parts the same users= and items=",
                    parameter=name,
                    value=value,
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


@explained
@dataclass(frozen=True)
class Split:
    """A training part, a fold for validation and a fold for the test, all over its items.

    left_out: held-out interactions that are in no part, because the training part does not have
    their item (or, in a split by time, their user). notes: remarks on how the settings were read,
    such as a date as seconds since 1970. A part that a splitter was not asked for is None. Raises
    DataError if a fold has other items than the training part, or if a part is of another type.

    >>> recae.data.splits.Split(train=data, validation=None, test=None).left_out
    0
    """

    train: Interactions
    # Any, so that type checkers accept `evaluate(model, split.test)`; most splits have all parts.
    validation: Fold | Any
    test: Fold | Any
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.train, Interactions):
            raise DataError(
                f"the training part must be Interactions, not {type(self.train).__name__}: see "
                "Interactions.from_frame and from_csr",
                parameter="train",
                value=self.train,
            )
        for name, fold in (("validation", self.validation), ("test", self.test)):
            if fold is not None and not isinstance(fold, Fold):
                raise DataError(
                    f"the {name} must be a Fold or None, not {type(fold).__name__}",
                    parameter=name,
                    value=fold,
                )
            if fold is not None and fold.history.items != self.train.items:
                raise DataError(
                    f"the {name} fold must have the items of the training part, in the same order"
                )

    def __repr__(self) -> str:
        """The parts with their sizes, what was left out, and the notes, one a line."""
        lines = [
            f"train       {self.train!r}",
            f"validation  {self.validation!r}",
            f"test        {self.test!r}",
        ]
        if self.left_out:
            lines.append(
                f"left out    {self.left_out:,} interactions with users or items not in train"
            )
        lines += [f"note        {note}" for note in self.notes]
        return "Split(\n  " + "\n  ".join(lines) + "\n)"

    def _repr_html_(self) -> str:
        parts = [("train", self.train)]
        for name, fold in (("validation", self.validation), ("test", self.test)):
            if fold is not None:
                parts += [(f"{name}, history", fold.history), (f"{name}, target", fold.target)]
        rows = [(name, part.n_users, part.n_items, part.nnz) for name, part in parts]
        heading = "; ".join(["Split", *self.notes])
        return html_table(heading, ("part", "users", "items", "interactions"), rows)
