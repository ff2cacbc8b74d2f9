"""Ensemble: a weighted blend of models, its weights learnt on validation users."""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import IdMap, Interactions
from recae.data.csr import cells
from recae.data.splits import Fold
from recae.errors import ConfigError, DataError, TrainingInterrupted, check_option, warn
from recae.estimators.params import estimator, learnt, param, written
from recae.metrics import parse_metric
from recae.models._blend import Candidates, fit_weights
from recae.models._standard import centred_rows, for_member, standardise
from recae.ranking.batches import dense
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.blend import onnx_standardised
from recae.recommend.onnx.graph import Value, apply
from recae.recommend.onnx.histories import Histories
from recae.recommend.requests import align, check_fold, check_metric
from recae.recommend.saved import expect
from recae.recommend.tuned import mark_tuned, tuning_of_members
from recae.recommend.weights import (
    TRAINED_ON,
    learn_weighting,
    set_state,
    state,
    uses_weights,
    weights_known,
)
from recae.rng import check_seed


@estimator
class Ensemble(Recommender):
    """A weighted sum of the scores of several models, each standardised user by user.

    score_uj = sum_m w_m (s_muj - mean_u s_mu) / std_u s_mu, over the items that are not in the
    history, with w >= 0 (stacked generalisation, Wolpert 1992). A search finds w with a high
    `metric` on validation users. From equal weights, members are left out while that ranks better;
    then one weight at a time is changed by a factor of 2 or 1.5. In halves of the validation users
    of MovieLens 1M, to leave out weak members helped the other half, and finer weights did not.
    Without validation all weights are 1.

    Different models err differently, so that a blend is often better than each; it costs the time
    and the memory of all its members. `Ensemble.of(models, validation)` blends models that are
    fitted already, `with_members` replaces them and keeps the weights, and `recae.tune` tunes each
    member and then learns the weights. For the weights, the 100 best items of each member are kept
    of every validation user, or of as many users as fit into 512 MiB: `validation_users_` counts
    them. With `checkpoint=FILE` each member has its own, FILE.0 and so on; Ctrl-C leaves no model.

    >>> model = recae.Ensemble(members=("EASE(l2=1.0)", "Popularity()")).fit(data)
    >>> model.recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "ensemble"
    small = dict(members=("EASE(l2=4.5)", "Popularity()", "ItemKNN(neighbours=5)"))
    uses_validation: ClassVar[bool] = True
    uses_device: ClassVar[bool] = True
    uses_callbacks: ClassVar[bool] = True
    uses_checkpoint: ClassVar[bool] = True

    members: tuple[str, ...] = param(
        "models as Python writes them, separated by semicolons on the command line",
        default=("EASE()", "MultVAE()"),
    )

    metric: str = param("validation metric that the weights maximise", default="ndcg@100")

    members_: list[Recommender] = learnt()
    columns_: list[np.ndarray] = learnt()
    member_weights_: np.ndarray = learnt()
    validation_users_: int = learnt()

    @classmethod
    def of(
        cls,
        models: Sequence[Recommender],
        validation: Fold | None = None,
        *,
        metric: str = "ndcg@100",
        seed: int = 0,
    ) -> Ensemble:
        """Blends fitted models, with the weights that have the highest `metric` on `validation`.

        validation: a fold of targets that no model was fitted on, of new users or of known ones (as
        `recae.data.splits.holdout_pairs` makes it); None: all weights are 1. seed: of the choice of
        users where not all fit in memory, see `validation_users_`.

        Items that some model lacks are left out, with a warning that counts them. Raises
        ConfigError for no models and for a bad metric, NotFittedError for one that is not fitted,
        DataError if they have no item in common, or for a fold without a target.

        >>> ease, popularity = recae.EASE().fit(data), recae.Popularity().fit(data)
        >>> recae.Ensemble.of([ease, popularity]).member_weights_.tolist()
        [1.0, 1.0]
        """
        given = _fitted(models)
        blend = Ensemble(members=tuple(_spec(model) for model in given), metric=metric)
        blend.check_params()
        if validation is not None:
            check_fold("validation", validation)
        counts = given[0].item_counts_
        common = given[0].items_.ids
        for model in given[1:]:
            common = common[model.items_.lookup(common) >= 0]
        if not len(common):
            raise DataError("the models have no item in common")
        left_out = max(len(model.items_) for model in given) - len(common)
        if left_out:
            warn(f"{left_out:,} items are left out: not all models of the ensemble know them")
        blend.items_ = IdMap(common, "item")
        blend.item_counts_ = counts[given[0].items_.encode(common)]
        blend.history_, blend.fitted_params_ = None, blend.get_params()
        weights = weights_known([model for model in given if uses_weights(model)])
        blend._facts = {TRAINED_ON: {"weights": weights}} if weights else {}
        blend._blend(given, validation, check_seed(seed))
        return blend

    def with_members(self, models: Sequence[Recommender]) -> Ensemble:
        """The same weights for other fitted models, such as the members fitted again on all data.

        Raises ConfigError for models of other kinds or in another order, and as `of` does.

        >>> blend = recae.Ensemble.of([recae.EASE().fit(data), recae.Popularity().fit(data)])
        >>> again = [model.clone().fit(data) for model in blend.members_]
        >>> blend.with_members(again).members_ == again
        True
        """
        self._check_fitted()
        given = _fitted(models)
        kinds, known = ([type(model).__name__ for model in some] for some in (given, self.members_))
        if kinds != known:
            raise ConfigError(
                f"the weights of this ensemble are those of {', '.join(known)}, in this order, and "
                f"the given models are {', '.join(kinds)}",
                parameter="models",
                value=models,
            )
        blend = Ensemble.of(given, metric=self.metric)
        blend._keep_weights(self)
        return blend

    @property
    def uses_seed(self) -> bool:  # type: ignore[override]
        """Whether a member depends on the seed."""
        return any(member.uses_seed for member in self._trained())

    def _keep_weights(self, other: Ensemble, places: Any = slice(None)) -> None:
        """Takes the weights of another ensemble; places: those of its members that are members."""
        self.member_weights_ = other.member_weights_[places].copy()
        self.validation_users_ = other.validation_users_

    def check_params(self) -> None:
        """Checks the settings of the members too. Raises ConfigError."""
        super().check_params()
        check_metric(self.metric)
        if not self.members:
            raise ConfigError(
                "members of Ensemble must name at least one model, such as 'EASE()'",
                parameter="members",
                value=self.members,
            )
        for text in self.members:
            read_model(text).check_params()

    def _trained(self) -> list[Recommender]:
        return [read_model(text) for text in self.members]

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Fits the members one after the other, each with a checkpoint of its own, and then learns
        their weights on the validation users."""
        fitted = []
        for number, text in enumerate(self.members):
            member = read_model(text)
            file = None if run.checkpoint is None else f"{run.checkpoint}.{number}"
            own = dataclasses.replace(run, checkpoint=file)
            with training.following(run.callbacks, partial(member._job, data, validation, own)):
                try:
                    learn_weighting(member, data)
                    member._fit(data, validation, own)
                except TrainingInterrupted:  # an ensemble needs all of its members
                    raise KeyboardInterrupt from None
            member._own(data)
            fitted.append(member)
        self.items_ = data.items
        self._blend(fitted, validation, run.seed)

    def _blend(self, fitted: list[Recommender], validation: Fold | None, seed: int) -> None:
        self.members_ = fitted
        if (tuned := tuning_of_members(fitted)) is not None:
            mark_tuned(self, tuned)
        self.columns_ = [member.items_.encode(self.items_.ids) for member in fitted]
        self.member_weights_, self.validation_users_ = np.ones(len(fitted)), 0
        if validation is not None:
            self._learn(self._candidates(validation, seed))

    def _learn(self, found: Candidates) -> None:
        self.member_weights_ = fit_weights(found, parse_metric(self.metric))
        self.validation_users_ = len(found)

    def _candidates(self, fold: Fold, seed: int) -> Candidates:
        """What weights are learnt from: the best items of each member for the users of a fold."""
        history = align(fold.history, self.items_).matrix
        target, _ = fold.target.with_items(self.items_)
        mask = history if fold.mask is None else align(fold.mask, self.items_).matrix
        parts = history, mask, target.matrix
        metric = parse_metric(self.metric)
        return Candidates.of(len(self.members_), self._standardised, *parts, metric, seed)

    def _standardised(self, matrix: Any) -> list[Tensor]:
        """The standardised scores of each member for CSR histories, (rows, n_items) float32."""
        seen = cells(matrix)
        parts = []
        for member, columns in zip(self.members_, self.columns_, strict=True):
            theirs, _ = for_member(matrix, columns, len(member.items_))
            scores = dense(member._score_rows(theirs)).cpu().numpy()[:, columns]
            parts.append(torch.from_numpy(standardise(scores, seen)))
        return parts

    def _move(self, device: torch.device) -> bool:
        return any([member._move(device) for member in self.members_])

    def _score_rows(self, matrix: Any) -> Tensor:
        total = torch.zeros(matrix.shape, dtype=torch.float32)
        for weight, part in zip(self.member_weights_, self._standardised(matrix), strict=True):
            total += float(weight) * part
        return total

    def _onnx_scores(self, histories: Histories) -> Value:
        parts = []
        for weight, member, columns in zip(
            self.member_weights_, self.members_, self.columns_, strict=True
        ):
            theirs = histories.encoded(columns.astype(np.int64), len(member.items_))
            scores = apply("Gather", member._onnx_scores(theirs), columns.astype(np.int64), axis=1)
            parts.append(onnx_standardised(scores, histories) * float(weight))
        return reduce(operator.add, parts)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """The parts of the members' scores, scaled as the scores are, given their deviations."""
        seen, some = cells(matrix), Padded.of(matrix)
        total = torch.zeros(some.items.numel(), columns.shape[1], dtype=torch.float64)
        baseline, hows = torch.zeros(columns.shape, dtype=torch.float64), []
        for weight, member, own in zip(
            self.member_weights_, self.members_, self.columns_, strict=True
        ):
            theirs, order = for_member(matrix, own, len(member.items_))
            scores = dense(member._score_rows(theirs)).cpu().numpy()[:, own]
            centred, deviation = centred_rows(scores, seen)
            scale = np.divide(weight, deviation, out=np.zeros_like(deviation), where=deviation > 0)
            parts = member._explain_rows(theirs, torch.from_numpy(own)[columns])
            plain = torch.from_numpy(scores).double().gather(1, columns)
            gained = torch.where(plain.isfinite(), plain - parts.baseline, 0)
            of_row = torch.from_numpy(scale)  # (rows, 1)
            baseline += of_row * (torch.from_numpy(centred).gather(1, columns) - gained)
            scaled = (of_row[:, :, None] * parts.contributions).view(total.shape)
            total[some.places[torch.from_numpy(order)]] += scaled[some.places]
            hows.append(f"{type(member).__name__} {parts.how}")
        how = f"given the mean and deviation of each member's scores: {'; '.join(hows)}"
        return Parts(total.view(*some.items.shape, -1), baseline, how)

    def _arrays(self) -> Mapping[str, Tensor]:
        """The weights, and for each member its arrays, its item counts and the columns of its
        items, under its number."""
        arrays = {
            "member_weights": tensor_of(self.member_weights_),
            "validation_users": torch.tensor([self.validation_users_]),
        }
        for number, member in enumerate(self.members_):
            arrays[f"{number}.columns"] = torch.from_numpy(self.columns_[number].astype(np.int64))
            arrays[f"{number}.item_counts"] = tensor_of(member.item_counts_)
            for name, tensor in state(member).items():
                arrays[f"{number}.member.{name}"] = tensor
        return arrays

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self._restore_members(self.members, arrays)

    def _restore_members(self, texts: Sequence[str], arrays: Mapping[str, Tensor]) -> None:
        """Makes the members again from saved arrays. Raises ValueError for negative weights and for
        columns that a member does not have."""
        weights = expect(arrays["member_weights"], len(texts), dtype=torch.float64)
        self.member_weights_ = weights.numpy()
        if not (self.member_weights_ >= 0).all():
            raise ValueError("a weight of a member is below 0")
        users = expect(arrays["validation_users"], 1, dtype=torch.int64)
        self.validation_users_ = int(users)
        self.members_, self.columns_ = [], []
        for number, text in enumerate(texts):
            member, prefix = read_model(text), f"{number}.member."
            counts = arrays[f"{number}.item_counts"]
            member.item_counts_ = expect(counts, counts.numel(), dtype=torch.int64).numpy()
            # From here on only the columns are used, not the member's own ids.
            member.items_ = IdMap(np.arange(len(member.item_counts_)), "item")
            own = {n.removeprefix(prefix): t for n, t in arrays.items() if n.startswith(prefix)}
            set_state(member, own)
            member.history_, member.fitted_params_ = None, member.get_params()
            self.members_.append(member)
            columns = arrays[f"{number}.columns"]
            expect(columns, len(self.items_), dtype=torch.int64)
            if len(np.unique(columns)) < len(columns) or len(columns) > counts.numel():
                raise ValueError(f"two items are one to member {number}")
            member.items_.decode(columns.numpy())  # raises for columns that it does not have
            self.columns_.append(columns.numpy())


def read_model(text: str) -> Recommender:
    """The unfitted model that a text such as "EASE(l2=5)" stands for. Raises ConfigError.

    >>> read_model("EASE(l2=5)")
    EASE(l2=5)
    """
    known = {cls.__name__: cls for cls in _subclasses(Recommender) if hasattr(cls, "name")}
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError("no call")
        params = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (ValueError, SyntaxError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"a member is written as 'EASE(l2=500.0)', not {text!r}",
            parameter="members",
            value=text,
        ) from error
    check_option("model in members", call.func.id, known)
    model: Recommender = known[call.func.id]().set_params(**params)
    return model


def _fitted(models: Sequence[Recommender]) -> list[Recommender]:
    """The models as a list. Raises ConfigError for none and for what is no model, NotFittedError
    for one that is not fitted."""
    if isinstance(models, Recommender) or not isinstance(models, Iterable):
        raise ConfigError(
            f"an ensemble takes a list of fitted models, not {models!r}",
            parameter="models",
            value=models,
        )
    given = list(models)
    for model in given:
        if not isinstance(model, Recommender):
            raise ConfigError(
                f"an ensemble takes fitted models, not {model!r}", parameter="models", value=model
            )
        model._check_fitted()
    if not given:
        raise ConfigError("an ensemble needs at least one fitted model", parameter="models")
    return given


def _spec(model: Recommender) -> str:
    params = ", ".join(f"{name}={written(value)}" for name, value in model.get_params().items())
    return f"{type(model).__name__}({params})"


def _subclasses(cls: Any) -> list[Any]:
    return [cls, *(found for child in cls.__subclasses__() for found in _subclasses(child))]
