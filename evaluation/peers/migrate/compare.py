"""Says how alike the outputs of two calls are."""

from __future__ import annotations

from typing import Any

import numpy as np

CLOSE = 1e-5
"""Relative to the largest value: float32 sums in another order differ by less."""
Row = dict[str, Any]


def compare(theirs: Any, here: Any) -> Row:
    """ "said", a few words for the guide; "same", None where nothing can be compared; figures.

    theirs, here: plain values, see `side.plain`.
    """
    if theirs is None or here is None:
        return {"same": None, "said": ""}
    (kind, one), (other_kind, other) = *theirs.items(), *here.items()
    if kind != other_kind:
        return {"same": False, "said": f"{kind}, here {other_kind}"}
    return {"lists": _lists, "number": _number, "counts": _counts, "array": _array}[kind](
        one, other
    )


def _number(theirs: float, here: float) -> Row:
    apart = abs(theirs - here)
    same = bool(apart <= CLOSE * max(abs(theirs), abs(here)))
    said = f"same: {here:.4f}" if same else f"{theirs:.4f}, here {here:.4f}"
    return {"same": same, "said": said, "theirs": theirs, "here": here, "difference": apart}


def _counts(theirs: list[int], here: list[int]) -> Row:
    texts = [" + ".join(f"{count:,}" for count in side) for side in (theirs, here)]
    same = theirs == here
    said = f"same: {texts[1]}" if same else f"{texts[0]}, here {texts[1]}"
    return {"same": same, "said": said, "theirs": theirs, "here": here}


def _array(theirs: Any, here: Any) -> Row:
    one, other = np.asarray(theirs), np.asarray(here)
    if one.shape != other.shape:
        return {"same": False, "said": f"shape {one.shape}, here {other.shape}"}
    apart = float(np.abs(one - other).max() / np.abs(other).max())
    same = apart <= CLOSE
    return {"same": same, "said": _to("same", "differ", same, apart), "difference": apart}


def _to(yes: str, no: str, same: bool, apart: float) -> str:
    if same:
        return yes if apart == 0 else f"{yes} to {apart:.0e}"
    return f"{no} by {apart:.1g}"


def _lists(theirs: list[Any], here: list[Any]) -> Row:
    if len(theirs) != len(here):
        said = f"{len(theirs):,} lists, here {len(here):,}"
        return {"same": False, "said": said, "theirs": len(theirs), "here": len(here)}
    equal, shared, scores = [], [], []
    for one, other in zip(theirs, here, strict=True):
        equal.append(_equal(one, other))
        items, others = ({item for item, _ in some} for some in (one, other))
        shared.append(len(items & others) / max(len(items), len(others), 1))
        scores += _apart(one, other)
    same, apart = all(equal), max(scores, default=None)
    if not same:
        said = f"{np.mean(equal):.0%} of lists equal, {np.mean(shared):.1%} of items shared"
    elif apart is None:
        said = "same lists"
    else:
        said = "same lists, " + (f"scores to {apart:.0e}" if apart < 0.01 else "other scores")
        said = said.replace("scores to 0e+00", "same scores")
    figures = {"equal": float(np.mean(equal)), "shared": float(np.mean(shared))}
    return {"same": same, "said": said, "lists": len(here), **figures} | (
        {} if apart is None else {"scores": apart}
    )


def _equal(theirs: list[Any], here: list[Any]) -> bool:
    """Whether two lists are the same but for the order of items with equal scores."""
    if len(theirs) != len(here):
        return False
    scores = {item: score for item, score in here if score is not None}
    largest = max((abs(score) for score in scores.values()), default=0.0)
    for (item, score), (other, here_score) in zip(theirs, here, strict=True):
        if item == other:
            continue
        if here_score is None:
            return False
        # A tie here, or the same score there for an item that is beyond the end of the list here.
        mine = scores.get(item, score)
        if mine is None or abs(mine - here_score) > CLOSE * largest:
            return False
    return True


def _apart(theirs: list[Any], here: list[Any]) -> list[float]:
    """The differences of the scores of the items of both, relative to the largest score."""
    scores = dict(here)
    pairs = [
        (score, scores[item])
        for item, score in theirs
        if score is not None and scores.get(item) is not None
    ]
    largest = max((abs(other) for _, other in pairs), default=1.0) or 1.0
    return [abs(one - other) / largest for one, other in pairs]
