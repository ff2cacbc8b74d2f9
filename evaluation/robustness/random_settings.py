"""Fits every model with random hyperparameters: each fit must train or raise a clear error.

    python -m evaluation random_settings --draws 20

Settings are drawn from the ranges that the models document (`draw`). An ensemble
blends two other models with random settings. Each model is fitted on the bundled MovieLens, items
with at least 25 users, ratings as weights. There is no validation, so the last state counts.
Training is cut to a few epochs. A fit may raise one of recae's own errors. Otherwise it must have

- a finite loss in every epoch and finite scores (kNN models may also give -inf);
- lists without seen items and without repeated items;
- no warnings other than recae's own;
- no sign of divergence, unless recae warned of it.

The signs of divergence are: a mean loss in the last epoch above twice that of the first (unless an
annealed KL term makes it rise); the same score for all candidate items, for half of the users; and
an NDCG@100 on held-out users below half of Random's. A model that has learnt little is about as
good as Random, but a diverged one may be far worse. Returns 1 if any fit breaks a rule.
"""

from __future__ import annotations

import argparse
import math
import time
import typing
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import keep
from recae.errors import UnusedWeights, unknown_option
from recae.estimators.params import Estimator
from recae.models.neural._base import NeuralRecommender
from recae.system.progress import bar
from recae.tuning.space import DIGITS, Range

EPOCHS = 4
SPARING = {"item-knn", "user-knn"}
"""Models that give -inf to items without any evidence in the history."""

RISE, CHANCE, SAME = 2.0, 0.5, 0.5
"""Limits that count as divergence: ratio of losses, ratio to Random's NDCG@100, and share of users
whose scores are all equal."""


def draw(model: type[Estimator], generator: np.random.Generator) -> dict[str, Any]:
    """Random settings of a class of models, ready for its constructor and for JSON.

    Numbers come from the `usual` range that `param` declares: log-uniformly where it starts above 0
    and spans a factor of ten or more, else uniformly; integers are rounded. A tuple gets as many
    members as its default has, or one more. A choice is any of the `usual` ones, or of all where
    none is named; a truth value is either. What has no range is left out and keeps its default.
    Equal generators give equal settings. `fit` checks whether values fit each other.
    """
    hints = typing.get_type_hints(model)
    found: dict[str, Any] = {}
    # The transform last: what the kept results drew for the others is drawn again.
    fields = sorted(model.param_fields().items(), key=lambda field: field[0] == "weight_transform")
    for name, declared in fields:
        hint, about = hints[name], declared.metadata
        if about["choices"] is not None:
            options = about["usual"] or about["choices"]
            found[name] = str(options[generator.integers(len(options))])
        elif hint is bool:
            found[name] = bool(generator.integers(2))
        elif about["usual"] is not None:
            found[name] = _value(hint, declared.default, about["usual"], generator)
    return found


def _value(
    hint: Any, default: Any, usual: tuple[float, float], generator: np.random.Generator
) -> Any:
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        length = len(default) + generator.integers(2)
        return tuple(_number(kind, *usual, generator) for _ in range(length))
    return _number(hint, *usual, generator)


def _number(kind: type, low: float, high: float, generator: np.random.Generator) -> Any:
    if Range(low, high, kind is int).log:
        number = math.exp(generator.uniform(math.log(low), math.log(high)))
    elif kind is int:  # rounding would halve the chance of both ends
        return int(generator.integers(int(low), int(high) + 1))
    else:
        number = generator.uniform(low, high)
    rounded = round(number) if kind is int else float(f"{number:.{DIGITS}g}")
    return kind(min(max(rounded, low), high))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a fit (trained, warned of, refused or failed) and the reason."""

    settings: str
    kind: str
    why: str = ""
    ndcg: float | None = None
    seconds: float = 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Draws, fits, checks and prints a line for each model. Returns 1 if any fit failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=20, help="settings for each model")
    parser.add_argument("--models", help="model names, comma-separated (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    names = options.models.split(",") if options.models else list(recae.MODELS)
    for name in names:
        if name not in recae.MODELS:
            raise unknown_option("model", name, recae.MODELS)
    data = recae.load_dataset("ml-latest-small").interactions
    data = data.filter(min_per_item=25).filter(min_per_user=10)
    split = recae.StrongGeneralization(held_out=0.2).split(data, seed=options.seed)
    chance = chance_of(split)
    print(f"{data}; ndcg@100 of Random {chance:.3f}", flush=True)
    found: dict[str, list[Outcome]] = {}
    with bar(len(names) * options.draws, "settings", "fit", None) as shown:
        for name in names:
            # Seeded by the name, not the position: other models do not change the draws.
            generator = np.random.default_rng([options.seed, *name.encode()])
            found[name] = []
            for number in range(options.draws):
                model = drawn(name, generator)
                found[name].append(attempt(model, split, chance, seed=number))
                shown.update()
            shown.write(line(name, found[name]))
    failed = sum(outcome.kind == "failed" for fits in found.values() for outcome in fits)
    result = {
        "suite": "random settings",
        "seed": options.seed,
        "draws": options.draws,
        "data": repr(data),
        "ndcg@100 of Random": chance,
        "failed": failed,
        "fields": ["settings", "kind", "why", "ndcg@100", "seconds"],
        "fits": {name: [astuple(outcome) for outcome in fits] for name, fits in found.items()},
    }
    print(f"\n{len(names)} models, {len(names) * options.draws} fits, {failed} failed")
    print(f"kept in {keep('random-settings', result)}")
    return 1 if failed else 0


def drawn(name: str, generator: np.random.Generator) -> recae.Recommender:
    """A model with random settings, its training cut short."""
    kind = recae.MODELS[name]
    if kind is recae.Ensemble:
        others = [other for other in recae.MODELS if other != name]
        pair = generator.choice(others, 2, replace=False)
        return kind(members=tuple(repr(drawn(str(member), generator)) for member in pair))
    settings = draw(kind, generator)
    if settings.get("weights") == "neither":
        settings["weight_transform"] = "none"  # of weights that are not used there is none
    model = kind(**settings)
    if isinstance(model, NeuralRecommender):
        # Long enough for every part that trains in turns to have had a turn.
        round_of_phases = sum(phase.epochs for phase in model._phases())
        model.set_params(epochs=max(EPOCHS, round_of_phases))
    return model


def chance_of(split: Any) -> float:
    """The mean NDCG@100 of five sets of random lists."""
    fits = (recae.Random().fit(split.train, seed=seed) for seed in range(5))
    return float(np.mean([ndcg(model, split.test) for model in fits]))


def ndcg(model: recae.Recommender, fold: Any) -> float:
    """The mean NDCG@100 of the users of a fold."""
    report = recae.evaluate(model, fold, ["ndcg@100"], progress=False)
    return float(report.per_user["ndcg@100"].mean())


def attempt(model: recae.Recommender, split: Any, chance: float, *, seed: int = 0) -> Outcome:
    """Fits a model on the training users of a split and evaluates it on the test users."""
    started, settings = time.perf_counter(), repr(model)
    kind, why, measured, fitted = "trained", "", None, False
    # An ensemble learns its weights from validation users; the others would choose an epoch.
    validation = split.validation if isinstance(model, recae.Ensemble) else None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", UnusedWeights)  # what the draw says, and no fault
        try:
            model.fit(split.train, validation, seed=seed, progress=False)
            fitted = True
            measured = ndcg(model, split.test)
            why = broken(model, split.test.history)
            if not why and not said:
                why = diverged(model, split.test.history, measured, chance)
            kind = "failed" if why else "trained"
        except Exception as error:  # any exception counts: it is what this script looks for
            refused = isinstance(error, recae.RecaeError) and not fitted
            kind = "refused" if refused else "failed"
            why = f"{type(error).__name__}: {error}"
    ours = [one for one in said if issubclass(one.category, recae.RecaeWarning)]
    if kind == "trained" and len(said) > len(ours):
        other = next(one for one in said if one not in ours)
        kind, why = "failed", f"{other.category.__name__}: {other.message}"
    elif kind == "trained" and ours:
        kind, why = "warned", str(ours[0].message)
    return Outcome(settings, kind, why, measured, round(time.perf_counter() - started, 3))


def broken(model: recae.Recommender, history: Any) -> str:
    """The rule of losses, scores or lists that a fitted model breaks; empty if none."""
    losses = [epoch.loss for epoch in getattr(model, "epochs_", [])]
    if not all(map(math.isfinite, losses)):
        return f"losses {losses}"
    scores, seen = model.score(history), history.matrix.toarray() > 0
    if not (np.isfinite(scores) | (np.isneginf(scores) & (model.name in SPARING))).all():
        return f"{(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite"
    top = model.recommend_array(history, 20)
    filled = np.sort(np.where(top.items < 0, -1 - np.arange(20), top.items))
    if (np.diff(filled) == 0).any():
        return "an item occurs twice in a list"
    rows = np.arange(len(top.items))[:, None]
    if (seen[rows, top.items] & (top.items >= 0)).any():
        return "a seen item is recommended"
    return ""


def diverged(model: recae.Recommender, history: Any, measured: float, chance: float) -> str:
    """The first sign of a divergence in a fitted model; empty if there is none."""
    losses = [epoch.loss for epoch in getattr(model, "epochs_", [])]
    if losses and losses[-1] > RISE * losses[0] and not model.get_params().get("anneal"):
        return f"silent divergence: the loss went from {losses[0]:.4g} to {losses[-1]:.4g}"
    scores, seen = model.score(history), history.matrix.toarray() > 0
    highest = np.where(seen, -np.inf, scores).max(1)
    lowest = np.where(seen, np.inf, scores).min(1)
    same = float((highest == lowest).mean())
    if same > SAME:
        return f"silent divergence: {same:.0%} of the users have the same score for all items"
    if measured < CHANCE * chance:
        return f"silent divergence: ndcg@100 {measured:.4f}, that of Random is {chance:.4f}"
    return ""


def line(name: str, outcomes: list[Outcome]) -> str:
    """The outcomes of one model, followed by every setting that did not train."""
    values = [outcome.ndcg for outcome in outcomes if outcome.ndcg is not None]
    scope = f"ndcg@100 {min(values):.3f} to {max(values):.3f}" if values else "ndcg@100 of none"
    counts = ", ".join(
        f"{sum(outcome.kind == kind for outcome in outcomes):2} {kind}"
        for kind in ("trained", "warned", "refused", "failed")
    )
    seconds = sum(outcome.seconds for outcome in outcomes)
    rest = [
        f"    {outcome.kind}: {outcome.why}\n      {outcome.settings}"
        for outcome in outcomes
        if outcome.kind != "trained"
    ]
    return "\n".join([f"{name:<12} {counts}; {scope}; {seconds:.0f} s", *rest])


if __name__ == "__main__":
    raise SystemExit(main())
