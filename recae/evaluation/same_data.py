"""Checks that reports were measured on the same data: the one place that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recae.data.splits import Fold
from recae.errors import DataError

PARTS = ("target", "mask", "history")
"""The parts of a fold whose fingerprints are in the provenance of a report."""


def fingerprints(fold: Fold) -> dict[str, str]:
    """The fingerprints of the parts of a fold, for the provenance of a report.

    `target`, `mask` and `history` change with the ids and the weights. `target_pairs` and the like
    are those of the pairs alone; they are absent where all weights are 1, since both are the same
    then.

    >>> from recae.evaluation.same_data import fingerprints
    >>> sorted(fingerprints(recae.Fold(data, data)))
    ['history', 'mask', 'target']
    """
    mask = fold.history if fold.mask is None else fold.mask
    found = {}
    for name, part in zip(PARTS, (fold.target, mask, fold.history), strict=True):
        found[name] = part.fingerprint()
        if part.weighted:
            found[f"{name}_pairs"] = part.binarised().fingerprint()
    return found


def check_same_data(
    provenances: Mapping[str, Mapping[str, Any]], *, weights: bool = False, remedy: str = ""
) -> None:
    """Raises DataError unless all were measured on the targets, masks and histories of the first.

    provenances: what a report is called in messages -> its provenance, or `fingerprints`. The same
    pairs with other weights are the same data, unless `weights` is true: some metrics use the
    weights of the targets. Reports of older versions have no fingerprints of pairs; theirs are
    those of the weighted data.
    """
    remedy = remedy or "evaluate both on the same fold"
    if not provenances:
        return
    first, reference = next(iter(provenances.items()))
    for label, provenance in provenances.items():
        for part in PARTS:
            ours, theirs = (_found(one, part) for one in (provenance, reference))
            if ours == theirs:
                continue
            if _pairs(provenance, part) != _pairs(reference, part):
                raise DataError(
                    f"{label} was measured on another {part} than {first} ({ours} and {theirs}): "
                    f"{remedy}"
                )
            if weights and part == "target":
                raise DataError(
                    f"{label} was measured on a target with other weights than {first} ({ours} and "
                    f"{theirs}), and a metric here uses them: {remedy}"
                )


def _found(provenance: Mapping[str, Any], part: str) -> Any:
    """The fingerprint of a part; in the oldest reports the mask was the history."""
    if part == "mask" and "mask" not in provenance:
        part = "history"
    return provenance.get(part)


def _pairs(provenance: Mapping[str, Any], part: str) -> Any:
    return provenance.get(f"{part}_pairs", _found(provenance, part))
