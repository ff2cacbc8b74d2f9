"""The data, model and protocol of `embedding_compression`, and its measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import recae


class Case(NamedTuple):
    """A data set's model, the metrics of its protocol, and the folds to choose on and to report."""

    name: str
    model: recae.Recommender
    metrics: list[str]
    train: recae.Interactions
    validation: recae.Fold | None
    test: recae.Fold


def case(folder: Path, kept: Path, users: int) -> Case:
    """Reads the data, fits or loads the model. users: number of random test users, 0 for all."""

    def read(name: str) -> recae.Interactions:
        return recae.read_parquet(folder / f"{name}.parquet", user="user", item="item")

    train = read("train")
    if (folder / "valid.parquet").is_file():
        split = recae.fixed_split(train, validation=read("valid"), test=read("test"))
        model: recae.Recommender = recae.ELSA(latent=512, epochs=20, batch_size=512)
        metrics = ["ndcg@10", "ndcg@100"]
    else:
        split = recae.fixed_split(train, test=read("test"))
        model, metrics = recae.SVDAE(latent=512), ["ndcg@20", "ndcg@100"]
    path = kept / folder.name
    if path.is_dir():
        model = recae.load(path)
    else:
        model = model.fit(split.train)
        model.save(path)
    test = split.test
    assert test is not None
    if 0 < users < test.target.n_users:
        drawn = np.random.default_rng(0).permutation(test.target.n_users)[:users]
        drawn.sort()
        test = recae.Fold(test.history.select_users(drawn), test.target.select_users(drawn))
    return Case(folder.name, model, metrics, split.train, split.validation, test)


def measured(case: Case, scores: Callable[[np.ndarray], np.ndarray], fold: recae.Fold) -> Any:
    """The report of a fold whose users get the `scores` of their vectors."""
    model: Any = case.model

    def score(histories: Any) -> np.ndarray:
        return scores(model._embed_rows(histories).cpu().numpy())

    scorer = recae.evaluation.Scorer(score, case.model.items_)
    return recae.evaluate(scorer, fold, case.metrics, progress=False)


def score_error(exact: np.ndarray, found: np.ndarray) -> float:
    """Squared error of scores as a share of their variance over the items, after removing each
    user's mean."""
    exact, found = (s - s.mean(axis=1, keepdims=True) for s in (exact, found))
    return float(np.square(exact - found).sum() / np.square(exact).sum())
