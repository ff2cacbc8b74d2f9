"""Ensemble: a weighted blend of models, its weights learnt on validation users."""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import IdMap, Interactions
from recae.data.csr import cells
from recae.data.splits import Fold
from recae.errors import ConfigError, DataError, TrainingInterrupted, check_option, warn
from recae.estimators.params import estimator, learnt, param
from recae.metrics import Metric, MetricAccumulator, parse_metric
from recae.models._standard import centred_rows, for_member, standardise
from recae.ranking.batches import dense, rows_per_batch
from recae.ranking.top_k import top_k
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.blend import onnx_standardised
from recae.recommend.onnx.graph import Value, apply
from recae.recommend.onnx.histories import Histories
from recae.recommend.requests import align, check_metric
from recae.recommend.saved import expect
from recae.recommend.tuned import mark_tuned, tuning_of_members
from recae.recommend.weights import learn_weighting, set_state, state
from recae.rng import numpy_generator

ROWS = 64
"""Users at a time whose blended scores are formed for the likelihood."""

STEPS = (2.0, 1.5, 1.2)
"""Factors by which one weight is raised and lowered while that ranks better, coarse ones first."""

ROUNDS = 3
"""Times that all weights are tried with one factor, at most."""


def fit_weights_by_likelihood(scores: Tensor, mask: Any, target: Any) -> np.ndarray:
    """The weights >= 0 under which the targets are likeliest, (members,).

    Likelihood is that of softmax(sum_m w_m scores_m) over the cells that are not masked, as in
    Liang et al. (2018): convex in w. scores: (members, rows, n_items) float32; mask, target: CSR
    (rows, n_items). Ones where no weight above zero helps.
    """
    from scipy.optimize import minimize  # which leaves a warning filter behind: not at import

    totals = torch.from_numpy(np.diff(target.indptr)).float()  # (rows,)
    flat = scores.view(len(scores), -1)
    of_targets = flat[:, torch.from_numpy(cells(target))].sum(1).double()
    seen = torch.zeros(scores.shape[1:], dtype=torch.bool)
    seen.view(-1)[torch.from_numpy(cells(mask))] = True

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log likelihood of a user, on average, and its slope."""
        w = torch.from_numpy(weights)
        value, slope = -(of_targets @ w), -of_targets
        for start in range(0, len(totals), ROWS):
            rows = slice(start, start + ROWS)
            logits = torch.einsum("m,mri->ri", w.float(), scores[:, rows])
            logits.masked_fill_(seen[rows], -torch.inf)
            value = value + (logits.logsumexp(1) * totals[rows]).sum()
            shares = logits.softmax(1) * totals[rows, None]
            slope = slope + torch.einsum("ri,mri->m", shares, scores[:, rows])
        return float(value) / len(totals), slope.numpy() / len(totals)

    found = minimize(
        loss, np.ones(len(scores)), jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(scores)
    )
    return found.x if found.x.any() else np.ones(len(scores))


def fit_weights_by_ranking(
    scores: Tensor, mask: Any, target: Any, metric: Metric, start: np.ndarray
) -> np.ndarray:
    """The weights >= 0 with the highest metric that a search finds, (members,), their mean one.

    Shapes as in `fit_weights_by_likelihood`. It begins with the best of `start`, equal weights and
    each member alone, so that none of them ranks better, and then changes one weight at a time.
    """

    def value(weights: np.ndarray) -> float:
        measured = MetricAccumulator([metric], scores.shape[2])
        w, step = torch.from_numpy(weights).float(), rows_per_batch("auto", scores.shape[2])
        for first in range(0, scores.shape[1], step):
            rows = slice(first, first + step)
            blended = torch.einsum("m,mri->ri", w, scores[:, rows])
            top = top_k(blended, metric.k, exclude=mask[rows], overwrite=True)
            measured.update(top, target[rows])
        return float(np.nanmean(measured.per_user()[str(metric)]))

    starts = [start, np.ones(len(scores)), *np.eye(len(scores))]
    values = [value(weights) for weights in starts]
    best, highest = starts[int(np.argmax(values))].copy(), max(values)
    for step in STEPS:
        for _ in range(ROUNDS):
            before = highest
            for trial in _neighbours(best, step):
                if (reached := value(trial)) > highest:
                    best, highest = trial, reached
            if highest == before:
                break
    found: np.ndarray = best / best.mean()
    return found


def _neighbours(weights: np.ndarray, step: float) -> Iterator[np.ndarray]:
    """The weights with one of them larger or smaller; a zero becomes a share of the mean."""
    for member, weight in enumerate(weights):
        for changed in (weight * step, weight / step) if weight else (weights.mean() * (step - 1),):
            trial = weights.copy()
            trial[member] = changed
            yield trial


CELLS = 1 << 27
"""Standardised scores held while the weights are learnt: 2^27 are 512 MiB."""


@estimator
class Ensemble(Recommender):
    """A weighted sum of the scores of several models, each standardised user by user.

    score_uj = sum_m w_m (s_muj - mean_u s_mu) / std_u s_mu, over the items that are not in the
    history, with w >= 0 (stacked generalisation, Wolpert 1992). A search finds the w with the
    highest `metric` on validation users. It begins with the best of each member alone, equal
    weights, and the w under which the targets are likeliest by softmax(score_u), the multinomial
    likelihood of Liang et al. (2018), which is convex. Without validation all weights are 1.

    Different models err differently, so that a blend is often better than each; it costs the time
    and the memory of all its members. `Ensemble.of(models, validation)` blends models that are
    fitted already. Weights are learnt on as many validation users as fit into 512 MiB of scores.
    With `checkpoint=FILE` each member has its own, FILE.0 and so on; Ctrl-C leaves no model.

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

    @classmethod
    def of(cls, models: Sequence[Recommender], validation: Fold | None = None) -> Self:
        """Blends fitted models; `validation` as in `fit`, of users none of them was fitted on.

        Items that some model lacks are left out, with a warning that counts them. Raises
        ConfigError for no models, NotFittedError for one that is not fitted, DataError if they have
        no item in common.

        >>> ease, popularity = recae.EASE().fit(data), recae.Popularity().fit(data)
        >>> recae.Ensemble.of([ease, popularity]).member_weights_.tolist()
        [1.0, 1.0]
        """
        given = list(models)
        for model in given:
            if not isinstance(model, Recommender):
                raise ConfigError(
                    f"an ensemble takes fitted models, not {model!r}",
                    parameter="models",
                    value=model,
                )
            model._check_fitted()
        if not given:
            raise ConfigError("an ensemble needs at least one fitted model", parameter="models")
        blend = cls(members=tuple(_spec(model) for model in given))
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
        blend._blend(given, validation, training.Run())
        return blend

    def check_params(self) -> None:
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
        fitted = []
        for number, text in enumerate(self.members):
            member = read_model(text)
            file = None if run.checkpoint is None else f"{run.checkpoint}.{number}"
            try:
                learn_weighting(member, data)
                member._fit(data, validation, dataclasses.replace(run, checkpoint=file))
            except TrainingInterrupted:  # an ensemble needs all of its members
                raise KeyboardInterrupt from None
            member._own(data)
            fitted.append(member)
        self.items_ = data.items
        self._blend(fitted, validation, run)

    def _blend(self, fitted: list[Recommender], validation: Fold | None, run: training.Run) -> None:
        self.members_ = fitted
        if (tuned := tuning_of_members(fitted)) is not None:
            mark_tuned(self, tuned)
        self.columns_ = [member.items_.encode(self.items_.ids) for member in fitted]
        self.member_weights_ = np.ones(len(fitted))
        if validation is not None:
            self.member_weights_ = self._learn(validation, run.seed)

    def _learn(self, fold: Fold, seed: int) -> np.ndarray:
        """The weights that rank the targets of validation users best."""
        history = align(fold.history, self.items_).matrix
        target, _ = fold.target.with_items(self.items_)
        mask = history if fold.mask is None else align(fold.mask, self.items_).matrix
        asked = np.flatnonzero(np.diff(target.matrix.indptr))
        most = max(CELLS // (len(self.items_) * len(self.members_)), 1)
        if len(asked) > most:
            asked = np.sort(numpy_generator(seed).choice(asked, most, replace=False))
        scores = torch.stack(self._standardised(history[asked]))  # (members, rows, n_items)
        rows = mask[asked], target.matrix[asked]
        start = fit_weights_by_likelihood(scores, *rows)
        return fit_weights_by_ranking(scores, *rows, parse_metric(self.metric), start)

    def _standardised(self, matrix: Any) -> list[Tensor]:
        """The standardised scores of each member for CSR histories, (rows, n_items) float32."""
        seen = cells(matrix)
        parts = []
        for member, columns in zip(self.members_, self.columns_, strict=True):
            theirs, _ = for_member(matrix, columns, len(member.items_))
            scores = dense(member._score_rows(theirs)).cpu().numpy()[:, columns]
            parts.append(torch.from_numpy(standardise(scores, seen)))
        return parts

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
        arrays = {"member_weights": tensor_of(self.member_weights_)}
        for number, member in enumerate(self.members_):
            arrays[f"{number}.columns"] = torch.from_numpy(self.columns_[number].astype(np.int64))
            arrays[f"{number}.item_counts"] = tensor_of(member.item_counts_)
            for name, tensor in state(member).items():
                arrays[f"{number}.member.{name}"] = tensor
        return arrays

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        weights = expect(arrays["member_weights"], len(self.members), dtype=torch.float64)
        self.member_weights_ = weights.numpy()
        if not (self.member_weights_ >= 0).all():
            raise ValueError("a weight of a member is below 0")
        self.members_, self.columns_ = [], []
        for number, text in enumerate(self.members):
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


def _spec(model: Recommender) -> str:
    params = ", ".join(f"{name}={value!r}" for name, value in model.get_params().items())
    return f"{type(model).__name__}({params})"


def _subclasses(cls: Any) -> list[Any]:
    return [cls, *(found for child in cls.__subclasses__() for found in _subclasses(child))]
