"""AutoEnsemble: tunes the models that err differently within some minutes, and blends the best."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import UnusedWeights
from recae.estimators.params import estimator, learnt, param
from recae.metrics import parse_metric
from recae.models import Ensemble
from recae.models.ensemble import read_model
from recae.nn import Ranks
from recae.recommend.base import Recommender
from recae.recommend.tuned import mark_tuned, tuning_of
from recae.system.files import plain
from recae.tuning.attempt import clock
from recae.tuning.candidates import Room, split_for_validation
from recae.tuning.members import Blend, Searches, best_alone, blend, labelled, tune_each
from recae.tuning.one import Search, measuring

LOG = logging.getLogger("recae")

MEMBERS = (
    "RecVAE(epochs=100, patience=8, batch_size=200, latent=128, width=300, depth=3)",
    "MultVAE(epochs=100, patience=6, batch_size=200, lr=0.002, beta=0.3)",
    "ELSA(epochs=30, patience=4, batch_size=256)",
    "CosineAE()",
    "SLIM()",
    "ALS()",
    "EASE(relative_l2=1.0, user_power=0.5)",
    "RDLAE(relative_l2=3.0, dropout=0.4)",
    "GraphFilter()",
    "SVDAE()",
)
"""The models that are tried. Those that take long come first: where they are skipped, the others
have their time."""

TRIALS = 40
"""Settings of one model, at most."""

PATIENCE = 15
"""Trials in a row without a better one that end the search of a model."""

SEARCH = 0.8
"""Share of the time for the searches, and for the fits on all data where they follow; the rest is
for the weights and for what takes longer than foreseen."""


NOTHING_HIDDEN = (
    "no user has two interactions, so that nothing can be held out: the members have the settings "
    "that were given, and equal weights"
)


@estimator
class AutoEnsemble(Ensemble):
    """What to fit if only accuracy counts: several tuned models in one, within some minutes.

    score_uj = sum_m w_m (s_muj - mean_u s_mu) / std_u s_mu, as `Ensemble`. Each of the `members` is
    tuned on validation data by `recae.tune`, in a share of the time. Then the weights are learnt on
    validation, and models of weight 0 are left out. Where weights that were learnt on one half of
    the validation users gain nothing on the other half, the best model stays alone.
    Closed forms, factors and deep autoencoders err differently, so the blend is often better than
    the best of them: `reason_` says by how much on validation.

    validation in `fit` chooses everything, and the members stay as they were fitted on `data`.
    Without it the last tenth of the interactions in time is held out, or where times are missing or
    leave fewer than 200 users, a tenth of each user's items, of 10,000 users at most (2,000 of many
    items); then the members are fitted again on all of `data`. Where no user has two items, the
    members keep their settings and get equal weights. A model is skipped where its matrices do not
    fit in memory beside the others, or where its fit would take too long.

    `tried_` is a table of what was tried, and `reason_` says what was chosen and why. `save`,
    `explain`, `export` and `to_onnx` work as for any ensemble. Costs the given minutes, and for
    each user the sum of what the members cost. With `checkpoint=FOLDER` finished trials are kept
    there, and the same call resumes with the rest of the time. The result depends on the speed of
    the machine. Needs Optuna (`pip install "recae[tune]"`).

    >>> model = recae.AutoEnsemble(minutes=0.05, metric="recall@2", members=("EASE()", "ALS()"))
    >>> sorted(model.fit(data).tried_["model"])
    ['als', 'ease']
    """

    name = "auto-ensemble"
    uses_seed = True
    small = dict(minutes=0.01, metric="ndcg@5", members=("EASE()", "Popularity()"))
    uses_callbacks: ClassVar[bool] = False

    minutes: float = param("time for the searches and the fits together", default=10.0, above=0)
    members: tuple[str, ...] = param(
        "models that are tried, as Python writes them; each gets what those before it leave",
        default=MEMBERS,
    )
    metric: str = param("validation metric that everything maximises", default="ndcg@20")

    tried_: pd.DataFrame = learnt()
    reason_: str = learnt()

    def _trained(self) -> list[Recommender]:
        return [self]

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Tunes the members within the time and blends them on validation users. Without those it
        holds some out, and fits the members that count on all data afterwards. One model alone is
        kept if blending gains nothing."""
        started, seconds = clock(), 60 * self.minutes
        train, fold = data, validation
        if fold is None:
            train, fold = split_for_validation(data, run.seed)
        if fold is None:
            super()._fit(data, None, run)
            self.tried_, self.reason_, self._tuned = pd.DataFrame(), NOTHING_HIDDEN, None
            return
        metric = parse_metric(self.metric)
        options: dict[str, Any] = {
            "seed": run.seed,
            "device": run.device,
            "progress": run.progress,
        }
        trackers = training.trackers_of(run.callbacks)
        search = Search(train, fold, [metric], patience=PATIENCE, callbacks=trackers, **options)
        templates = labelled([measuring(read_model(text), metric) for text in self.members])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedWeights)  # the searches decide
            found = tune_each(
                search,
                templates,
                end=started + SEARCH * seconds,
                trials=TRIALS,
                say=LOG.info,
                refuse=Room(train).refuse,
                folder=run.checkpoint,
                refits=validation is None,
            )
            chosen = blend(found, search)
            self.reason_ = str(chosen)
            if chosen.gain <= 0:
                chosen = best_alone(found, search)
                self.reason_ = f"{chosen.labels[0]} alone is kept; {self.reason_}"
            models = list(chosen.model.members_)
            if validation is None:
                models = [found.tunings[label].refit(data, **options) for label in chosen.labels]
        self.items_ = data.items
        self._blend(models, None, run.seed)
        self._keep_weights(chosen.model)
        self.tried_ = _table(found, chosen)
        self._tuned = tuning_of(chosen.model)
        LOG.info(self.reason_)

    def _own(self, data: Interactions, ranks: Ranks | None = None) -> None:
        super()._own(data, ranks)
        if self._tuned is not None:
            mark_tuned(self, self._tuned)

    def _arrays(self) -> Mapping[str, Tensor]:
        about = {
            "members": [repr(member) for member in self.members_],
            "reason": self.reason_,
            "tried": self.tried_.to_dict("records"),
        }
        text = json.dumps(about, default=plain).encode()
        return {**super()._arrays(), "about": torch.frombuffer(bytearray(text), dtype=torch.uint8)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        about = json.loads(bytes(arrays["about"].numpy()))
        self._restore_members(tuple(about["members"]), arrays)
        self.tried_, self.reason_ = pd.DataFrame(about["tried"]), str(about["reason"])


def _table(found: Searches, chosen: Blend) -> pd.DataFrame:
    """A row for each model, the best on validation first and those that were skipped last."""
    shares = chosen.model.member_weights_ / chosen.model.member_weights_.sum()
    weights = dict(zip(chosen.labels, shares.tolist(), strict=True))
    rows = [
        {
            "model": label,
            "validation": found.tunings[label].value,
            "weight": weights.get(label, 0.0),
            "trials": len(found.tunings[label].trials),
            "seconds": found.tunings[label].seconds,
            "settings": repr(found.tunings[label].model),
            "note": found.note(label),
        }
        for label in found.ranked()
    ]
    none = {"validation": float("nan"), "weight": 0.0, "trials": 0, "seconds": 0.0, "settings": ""}
    rows += [
        {"model": label, **none, "note": f"skipped: {why}"} for label, why in found.skipped.items()
    ]
    return pd.DataFrame(rows)
