"""Checks a split for leaks: held-out pairs or users that also occur in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data.csr import cells, row_numbers
from recae.data.ids import show
from recae.data.interactions import Interactions
from recae.data.splits.folds import Fold, Split
from recae.data.splits.twins import check_twins
from recae.errors import DataError, check_option, explained, warn

OVERLAPS = ("raise", "drop", "keep")
GENERALIZATIONS = ("weak", "strong")

Ids = npt.NDArray[np.generic]


@explained
def check_split(
    split: Split, *, overlap: str = "raise", generalization: str | None = None
) -> dict[str, int]:
    """Checks a split for leaks: raises for those that invalidate results, counts the others.

    Rejected, with a DataError that names the first offenders:

    - targets that are also in the training part, in their own history, or (those of the test) among
      the validation targets; overlap="keep" counts them with a RecaeWarning instead;
    - in strong generalisation, users of a fold that are in the training part or in both folds;
    - users or items of a fold that are those of the training part in another spelling: " 7" and
      "7", "07" and "7"; those that differ in case alone get a RecaeWarning.

    Reported with a RecaeWarning, because real data have some:

    - in weak generalisation, users of a fold without interactions in the training part;
    - twins: users of a fold with 5 items or more, who have exactly the items of another user of
      the training part. With 10 items or more, nearly the same items are enough: a Jaccard
      similarity of 0.8, found by MinHash (Broder 1997; it may miss a few).

    generalization: "weak" if the folds' users are those of the training part, "strong" if they
    are others, None to go by the majority of each fold. About a second and 100 bytes for each
    of a million interactions. Raises ConfigError for an unknown option.

    >>> counts = recae.check_split(recae.data.splits.holdout_pairs(data, 0.5))
    >>> counts["validation targets in train"], counts["validation users not in train"]
    (0, 0)
    """
    check_option("overlap", overlap, ("raise", "keep"))
    if generalization is not None:
        check_option("generalization", generalization, GENERALIZATIONS)
    if not isinstance(split, Split):
        raise DataError(
            f"split must be a Split, as splitters return it, not {type(split).__name__}",
            parameter="split",
            value=split,
        )
    found: dict[str, int] = {}
    for name, fold in folds_of(split):
        for what in ("user", "item"):
            count = check_spellings(split.train, [fold.history, fold.target], what, name)
            found[f"{name} {what}s in another spelling"] = count
        found |= _check_users(split.train, fold, name, generalization)
    found |= _check_both_folds(split, generalization) | _check_pairs(split, overlap)
    for name, fold in folds_of(split):  # errors come before warnings
        found |= check_twins(split.train, fold, name)
    return found


def folds_of(split: Split) -> Iterator[tuple[str, Fold]]:
    """The folds that a split has, with their names."""
    for name, fold in (("validation", split.validation), ("test", split.test)):
        if fold is not None:
            yield name, fold


def repeated_pairs(part: Interactions, other: Interactions) -> npt.NDArray[np.bool_]:
    """Which interactions of `part` are in `other` too, (nnz,) bool; users are matched by id.

    Both must have the same items, in the same order.
    """
    rows = other.users.lookup(part.users.ids)[row_numbers(part.matrix.indptr)]
    wanted = np.where(rows < 0, -1, rows * other.n_items + part.matrix.indices)
    known = np.append(cells(other.matrix), np.int64(-2))  # looked up beyond the last: no match
    found: npt.NDArray[np.bool_] = known[np.searchsorted(known[:-1], wanted)] == wanted
    return found


def check_spellings(
    train: Interactions, held_out: Sequence[Interactions], what: str, name: str
) -> int:
    """The number of ids in held-out parts that are another spelling of an id in train.

    what: "user" or "item"; held_out: parts with the same users and items as each other, called
    `name` in messages. Raises DataError if the difference is in blanks or in the format of a
    number. If only the case differs, which may be intended, a RecaeWarning counts them.
    """

    def occurring(*parts: Interactions) -> Ids:
        if what == "item":
            counts = [np.bincount(part.matrix.indices, minlength=part.n_items) for part in parts]
            used = np.flatnonzero(sum(counts))
            return parts[0].items.decode(used)
        used = np.flatnonzero(sum(np.diff(part.matrix.indptr) for part in parts))
        return parts[0].users.decode(used)

    here, there = occurring(train), occurring(*held_out)
    if here.dtype != object or there.dtype != object:
        return 0  # integers have one spelling
    strange = there[pd.Index(here).get_indexer(pd.Index(there)) < 0]
    for fold_case in (False, True):
        plain = pd.Series(here, index=_plain(here, fold_case))
        plain = plain[~plain.index.duplicated()]
        meant = plain.reindex(_plain(strange, fold_case)).to_numpy()
        alike = pd.notna(meant)
        if alike.any():
            first, second = strange[alike][0], meant[alike][0]
            message = (
                f"{int(alike.sum()):,} {what} ids of the {name} part are not in train, but look "
                f"like one that is: {show(first)} and {show(second)}"
            )
            if not fold_case:
                raise DataError(
                    f"{message}; write both in the same way (strip blanks, drop leading zeros) "
                    "before they become Interactions"
                )
            warn(f"{message}; if they are the same {what}, write them in the same case")
            return int(alike.sum())
    return 0


def _plain(ids: Ids, fold_case: bool) -> pd.Index:
    """The ids without blanks and leading zeros, and with `fold_case` without case, (n,) text."""
    text = pd.Series(ids, dtype=object).str.normalize("NFKC").str.strip()
    text = text.str.replace(r"^\+?0*(\d+)(?:\.0*)?$", r"\1", regex=True)
    return pd.Index(text.str.casefold() if fold_case else text)


def _check_pairs(split: Split, overlap: str) -> dict[str, int]:
    """Targets that are in another part as well."""
    found = {}
    for name, fold in folds_of(split):
        mask = fold.history if fold.mask is None else fold.mask
        others = {"train": split.train}
        if name == "test" and split.validation is not None:
            others["the validation targets"] = split.validation.target
        others["their own history"] = fold.history  # last: it often holds the others
        said: list[int] = []
        for where, other in others.items():
            repeated = repeated_pairs(fold.target, other)
            found[f"{name} targets in {where}"] = count = int(repeated.sum())
            if not count:
                continue
            masked = int(repeated_pairs(fold.target.keep(repeated), mask).sum())
            effect = (
                f"{masked:,} masked, and so a miss for every model"
                if masked
                else "a model may have memorised them"
            )
            message = (
                f"{count:,} of {fold.target.nnz:,} {name} targets are also in {where} "
                f"({_first_pairs(fold.target, repeated)}): {effect}"
            )
            if overlap == "raise":
                raise DataError(
                    f"{message}; take them out of one of the two, for instance with "
                    "fixed_split(..., overlap='drop'), or say overlap='keep' if the split is "
                    "published like that"
                )
            if where != "their own history" or count > max(said, default=0):
                warn(message)
            said.append(count)
    return found


def _first_pairs(part: Interactions, chosen: npt.NDArray[np.bool_]) -> str:
    """The first two of the chosen interactions, in words."""
    places = np.flatnonzero(chosen)[:2]
    users = part.users.ids[row_numbers(part.matrix.indptr)[places]]
    items = part.items.ids[part.matrix.indices[places]]
    pairs = [f"user {show(u)} with item {show(i)}" for u, i in zip(users, items, strict=True)]
    return "the first: " + ", ".join(pairs)


def _first_ids(ids: npt.NDArray[np.generic]) -> str:
    return ", ".join(show(value) for value in ids[:3]) + (", ..." if len(ids) > 3 else "")


def _check_users(
    train: Interactions, fold: Fold, name: str, generalization: str | None
) -> dict[str, int]:
    """Checks that users of a fold are absent from training (strong) or present in it (weak)."""
    users = fold.history.users
    # Looked up in the map of the fold: the map of train may hold users without interactions.
    known = np.zeros(len(users), dtype=np.bool_)
    places = users.lookup(train.users.ids[np.flatnonzero(np.diff(train.matrix.indptr))])
    known[places[places >= 0]] = True
    kind = generalization or ("weak" if 2 * known.sum() > len(users) else "strong")
    if kind == "weak":
        cold_users = users.ids[~known]
        if len(cold_users):
            warn(
                f"{len(cold_users):,} of {len(users):,} {name} users have no interactions in train "
                f"({_first_ids(cold_users)}): nothing was learnt from them"
            )
        return {f"{name} users not in train": len(cold_users)}
    leaked = users.ids[known]
    if len(leaked):
        anew = (
            "; if each table numbers its users from the start, make their ids distinct"
            if len(leaked) == len(users)
            else ""
        )
        raise DataError(
            f"{len(leaked):,} of {len(users):,} {name} users are also in train "
            f"({_first_ids(leaked)}), but strong generalisation tests on users that training has "
            f"never seen; take them out of train or of the {name} tables{anew}"
        )
    return {f"{name} users in train": 0}


def _check_both_folds(split: Split, generalization: str | None) -> dict[str, int]:
    """Held-out users of strong generalisation that are in both folds."""
    if split.validation is None or split.test is None:
        return {}
    users = split.test.history.users.ids
    both = users[split.validation.history.users.lookup(users) >= 0]
    trained = len(split.train.users) and (split.train.users.lookup(both) >= 0).any()
    strong = generalization == "strong" or (generalization is None and not trained)
    if strong and len(both):
        raise DataError(
            f"{len(both):,} of {len(users):,} test users are also validation users "
            f"({_first_ids(both)}): models are tuned on them; take them out of one of the two"
        )
    return {"users in both folds": len(both)}
