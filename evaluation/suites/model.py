"""Runs one model of a suite: tunes, fits and tests it, and stores the result."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.kit.provenance import commit, peak_gb
from evaluation.suites import published
from evaluation.suites.data import carved
from evaluation.suites.kept import read_about, save_entry
from evaluation.suites.read import Candidate, Suite
from recae.errors import ConfigError
from recae.metrics import parse_metric
from recae.models.neural._base import NeuralRecommender
from recae.system.files import atomic_file, plain, remove_directory
from recae.training import Callback, Job, following

LIMITS = ("seconds", "patience")
"""What ends a search; the rest of `[tuning]` decides which settings it tries."""


@dataclass(frozen=True)
class Places:
    """The folders for the results of a suite and for unfinished work."""

    results: Path
    work: Path


def identity(suite: Suite, candidate: Candidate, split: recae.data.splits.Split) -> dict[str, Any]:
    """The inputs that determine a result. If any of them changes, the result is out of date."""
    assert split.test is not None
    said = {
        "suite": suite.name,
        "template": repr(candidate.template),
        "search": None if candidate.search is None else {k: v for k, v in candidate.search.items()},
        "tuning": dict(suite.tuning) if candidate.search is not None else {},
        "seeds": candidate.seeds,
        "metrics": list(suite.metrics),
        "train": split.train.fingerprint(),
        "validation": None if split.validation is None else split.validation.fingerprint(),
        "test": split.test.fingerprint(),
    }
    if candidate.search is not None and split.validation is None and "carve" in suite.protocol:
        said["carve"] = suite.protocol["carve"]
    if candidate.top_items is not None:
        said["top_items"] = candidate.top_items
    if candidate.validation_users is not None:
        said["validation_users"] = candidate.validation_users
    if candidate.members:
        members = {name: suite.models[name] for name in candidate.members}
        said["members"] = {
            name: of_fit(identity(suite, member, split)) for name, member in members.items()
        }
    return said


def of_fit(said: dict[str, Any]) -> dict[str, Any]:
    """The part of an identity that a fitted model depends on, in JSON types."""
    others = ("suite", "seeds", "metrics", "test")
    kept = {name: value for name, value in said.items() if name not in others}
    return dict(json.loads(json.dumps(kept, default=plain)))


def is_done(
    suite: Suite, candidate: Candidate, split: recae.data.splits.Split, places: Places
) -> bool:
    """Whether a result with this identity, or of a longer search, exists. Raises StorageError for a
    damaged one."""
    about = read_about(places.results, candidate.name)
    if about is None:
        return False
    kept = about["provenance"].get("identity", {})
    wanted = json.loads(json.dumps(identity(suite, candidate, split)))
    if longer(kept.get("tuning"), wanted["tuning"]):
        wanted["tuning"] = kept["tuning"]
    changed = [key for key in wanted if kept.get(key) != wanted[key]]
    if changed:
        print(f"{candidate.name}: the result is out of date: {', '.join(changed)}", flush=True)
    return not changed


def longer(kept: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Whether a search differs from the wanted one only in more seconds, or in its patience."""
    if not kept or not wanted:
        return False
    others = [{k: v for k, v in said.items() if k not in LIMITS} for said in (kept, wanted)]
    return others[0] == others[1] and kept.get("seconds", 0) >= wanted.get("seconds", 0)


def run(
    suite: Suite,
    candidate: Candidate,
    split: recae.data.splits.Split,
    places: Places,
    fit_only: bool,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Tunes, fits and tests one model, and stores the result. callbacks: checked trackers."""
    said = identity(suite, candidate, split)
    job = Job("suite", f"{suite.name} {candidate.name}", said, {"recae": recae.__version__})
    with following(callbacks, lambda: job) as told:
        entry = _run(suite, candidate, split, places, fit_only, callbacks)
        if entry is not None:
            told.metrics = {name: entry.value(name) for name in entry.reports[0].metrics}
            told.metrics["fit_seconds"] = float(np.mean(entry.fit_seconds))
            told.report = entry.reports[0]


def _run(
    suite: Suite,
    candidate: Candidate,
    split: recae.data.splits.Split,
    places: Places,
    fit_only: bool,
    callbacks: Sequence[Callback],
) -> recae.report.Entry | None:
    assert split.test is not None
    started = time.perf_counter()
    work = places.work / candidate.name
    work.mkdir(parents=True, exist_ok=True)
    commit()  # cached now: later commits do not change the running code
    searched = candidate.search is not None
    tuning = tuned(suite, candidate, split, work, callbacks) if searched else None
    about = of_fit(identity(suite, candidate, split))
    fits = [
        fitted(candidate, split, tuning, seed, work, about, callbacks)
        for seed in range(candidate.seeds)
    ]
    if fit_only:
        return None
    reports, epochs = [], []
    vectors, chosen = item_vectors(suite, split), ""
    for seed in range(candidate.seeds):
        model = recae.load(work / f"seed-{seed}")
        report = recae.evaluate(model, split.test, suite.metrics, item_vectors=vectors)
        if not seed and isinstance(model, recae.AutoEnsemble):
            chosen = model.reason_
        reports.append(to_keep(report, first=not seed))
        if not seed and isinstance(model, NeuralRecommender):
            epochs = fits[0]["curve"]
    entry = recae.report.Entry(
        name=candidate.name,
        reports=reports,
        fit_seconds=[fit["seconds"] for fit in fits],
        tuning_seconds=None if tuning is None else tuning.seconds,
        peak_gb=max(fit["peak_gb"] for fit in fits),
        epochs=epochs,
        trials=[] if tuning is None else trials(tuning),
        published=published.of(suite.name, candidate.published),
        provenance={
            "identity": identity(suite, candidate, split),
            "suite": suite.title,
            "note": "; ".join(filter(None, [candidate.note, cut_short(tuning), chosen])),
            "seeds": list(range(candidate.seeds)),
            "commit": commit(),
            "commit_of_fit": sorted({fit["commit"] for fit in fits}),
        },
    )
    save_entry(places.results, entry)
    for seed in range(candidate.seeds):
        if seed or candidate.name not in suite.members:
            remove_directory(work / f"seed-{seed}")
    values = ", ".join(f"{report[suite.metric]:.4f}" for report in reports)
    print(
        f"{candidate.name:<14} {suite.metric} {entry.value(suite.metric):.4f} ({values})  "
        f"{time.perf_counter() - started:.0f} s  {reports[0].model}",
        flush=True,
    )
    return entry


def tuned(
    suite: Suite,
    candidate: Candidate,
    split: recae.data.splits.Split,
    work: Path,
    callbacks: Sequence[Callback] = (),
) -> recae.tuning.Tuning:
    """Tunes a model on the validation data of the split, or on pairs carved out of train."""
    choosing = carved(split, suite, candidate.top_items, candidate.validation_users)
    return recae.tune(
        candidate.template,
        choosing.train,
        choosing.validation,
        suite.metric,
        space=candidate.search or None,
        folder=work / "tuning",
        callbacks=callbacks,
        **suite.tuning,
    )


def fitted(
    candidate: Candidate,
    split: recae.data.splits.Split,
    tuning: recae.tuning.Tuning | None,
    seed: int,
    work: Path,
    about: dict[str, Any],
    callbacks: Sequence[Callback] = (),
) -> dict[str, Any]:
    """Fits one seed unless it is already fitted, saves the model, and returns the cost of the fit.

    If the suite has validation data, a model stops at its best epoch. If validation pairs were
    carved out of train, the chosen settings and number of epochs are used for a fit on all of
    train. A model that was fitted to other data or settings (`about`) is fitted again.
    """
    place, note = work / f"seed-{seed}", work / f"seed-{seed}.json"
    checkpoint = work / f"seed-{seed}.safetensors"
    kept = noted(note, about)
    if kept is not None and place.is_dir():
        return kept
    started = time.perf_counter()
    if candidate.members:
        model = blended(candidate, split, work, about["members"])
    elif tuning is None:
        model = candidate.template.clone()
    elif split.validation is not None and not seed:
        model = tuning.model
    elif split.validation is not None:
        model = tuning.model.clone()
    else:
        model = tuning.refit(split.train, seed=seed, callbacks=callbacks)
    if not hasattr(model, "items_"):
        limits = [] if tuning is None else as_long_as(tuning)
        options: dict[str, Any] = {"callbacks": [*limits, *callbacks]}
        if isinstance(model, NeuralRecommender):
            options["checkpoint"] = checkpoint
        if isinstance(model, recae.AutoEnsemble):
            options["checkpoint"] = work / f"search-{seed}"
        model.fit(split.train, split.validation, seed=seed, **options)
    seconds = time.perf_counter() - started
    # A training that was resumed has epochs of earlier calls.
    seconds = max(seconds, sum(epoch.seconds for epoch in getattr(model, "epochs_", [])))
    if tuning is not None and split.validation is not None and not seed:
        seconds = float(best_trial(tuning)["seconds"])
    note.unlink(missing_ok=True)  # an interrupted save must not leave the old model's note
    model.save(place, overwrite=True)
    fit = {
        "about": about,
        "seconds": round(seconds, 2),
        "peak_gb": round(peak_gb(), 3),
        "commit": commit(),
        "curve": [vars(epoch) for epoch in getattr(model, "epochs_", [])],
    }
    with atomic_file(note, overwrite=True) as part:
        part.write_text(json.dumps(fit, default=plain), encoding="utf-8")
    checkpoint.unlink(missing_ok=True)
    return fit


def noted(note: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """The cost of a finished fit, or None if no fit with these data and settings exists."""
    if not note.is_file():
        return None
    kept: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    return kept if kept.get("about") == about else None


def to_keep(report: recae.Report, first: bool) -> recae.Report:
    """The stored part of a report, a third of its size: values per user of the metrics that use
    targets, means of the other metrics, and for the first seed the tables of users and items."""
    names = [name for name in report.per_user if not parse_metric(name).needs]
    means = {name: mean for name, mean in report.mean.items() if name not in names}
    kept = replace(report, per_user=report.per_user[names], catalogue=means)
    return kept if first else replace(kept, users=pd.DataFrame(), items=pd.DataFrame())


def item_vectors(suite: Suite, split: recae.data.splits.Split) -> recae.Recommender | None:
    """The model whose item vectors measure the diversity of every model's lists; None if no metric
    needs it."""
    if not any(metric.startswith("diversity@") for metric in suite.metrics):
        return None
    return recae.PureSVD(latent=min(64, split.train.n_items - 1)).fit(split.train)


def cut_short(tuning: recae.tuning.Tuning | None) -> str:
    """The note for a model whose best trial was still improving when the time limit ended it."""
    if tuning is None or best_trial(tuning)["state"] != "cut":
        return ""
    return f"the {tuning.seconds:.0f} s of tuning ended its best trial before it converged"


def as_long_as(tuning: recae.tuning.Tuning) -> list[Callback]:
    """Callbacks that stop training after the epochs of the best trial if the time limit cut that
    trial. Then all seeds train equally long."""
    best = best_trial(tuning)
    if best["state"] != "cut":
        return []
    return [lambda epoch: epoch.number >= best["epochs"]]


def best_trial(tuning: recae.tuning.Tuning) -> Any:
    """The row of the trial whose model was kept."""
    return tuning.trials.iloc[tuning.trials["value"].argmax()]


def blended(
    candidate: Candidate, split: recae.data.splits.Split, work: Path, members: dict[str, Any]
) -> recae.Recommender:
    """The ensemble of the members' first seeds, with weights chosen on `validation`.

    members: the identity that each member must have been fitted with, see `of_fit`.
    """
    places = {name: work.parent / name / "seed-0" for name in candidate.members}
    missing = [
        name
        for name, place in places.items()
        if not place.is_dir() or noted(place.with_suffix(".json"), members[name]) is None
    ]
    if missing:
        raise ConfigError(
            f"{candidate.name} blends models that are not fitted to these data and settings: run "
            f"{', '.join(missing)} first, with --again if their result exists"
        )
    models = [recae.load(place) for place in places.values()]
    return recae.Ensemble.of(
        models, split.validation, metric=candidate.template.get_params()["metric"]
    )


def trials(tuning: recae.tuning.Tuning) -> list[dict[str, Any]]:
    """The trials in the format of `Entry.trials`."""
    fixed = {"number", "value", "seconds", "epochs", "state", "reason"}
    rows = tuning.trials.to_dict(orient="records")
    return [
        {
            "params": {key: value for key, value in row.items() if key not in fixed},
            **{key: row[key] for key in ("value", "seconds", "state")},
        }
        for row in rows
    ]
