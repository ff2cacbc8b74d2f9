"""What a search has chosen of a model: kept with it, and shown beside its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TUNING = "Tuning"
"""The table of a model card that holds it."""


def mark_tuned(model: Any, facts: Mapping[str, Any]) -> None:
    """Keeps with a fitted model how its settings were chosen; `Model.save` stores it.

    facts: searched (the names of the settings), metric, trials and seconds of the search. If the
    end of the time cut the best trial, cut is the reason.
    """
    model._facts = {**model._facts, TUNING: dict(facts)}


def tuning_of(model: Any) -> dict[str, Any] | None:
    """The facts that `mark_tuned` kept; None for a model whose settings no search has chosen."""
    facts = getattr(model, "_facts", {}).get(TUNING)
    return None if facts is None else dict(facts)


def tuning_of_members(models: Sequence[Any]) -> dict[str, Any] | None:
    """The same for a blend of models: their searches together, each named after its model."""
    found = [(type(model).__name__, facts) for model in models if (facts := tuning_of(model))]
    if not found:
        return None
    together: dict[str, Any] = {
        "searched": "; ".join(f"{name} {facts['searched']}" for name, facts in found),
        "metric": ", ".join(dict.fromkeys(facts["metric"] for _, facts in found)),
        "trials": sum(facts["trials"] for _, facts in found),
        "seconds": round(sum(facts["seconds"] for _, facts in found), 1),
    }
    cut = "; ".join(f"{name}: {facts['cut']}" for name, facts in found if facts.get("cut"))
    return {**together, "cut": cut} if cut else together
