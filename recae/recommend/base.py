"""The base of every recommender: its declaration, fit, save, fingerprint and export."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions, as_interactions
from recae.data.csr import column_counts
from recae.data.splits import Fold
from recae.errors import (
    ConfigError,
    DataError,
    NotFittedError,
    TrainingInterrupted,
    check_flag,
    check_integer,
    warn,
)
from recae.estimators.saved import hyperparameters, write
from recae.nn import Ranks
from recae.recommend.estimate import Estimate, estimated
from recae.recommend.exported import Exports
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.onnx.saving import save_onnx
from recae.recommend.requests import check_fold
from recae.recommend.saved import (
    check_processes,
    contents,
    facts_of,
    read_history,
    read_items,
    shown_facts,
)
from recae.recommend.weights import (
    TRAINED_ON,
    check_some,
    check_weights,
    learn_weighting,
    set_state,
    state,
    warn_if_missing,
    weights_seen,
)
from recae.system.digests import sha256, sha256_of_arrays, sha256_of_json
from recae.system.display import html_folded, html_table
from recae.system.files import as_path
from recae.system.machine import enough_memory
from recae.system.progress import check_progress
from recae.system.threads import survives_fork

FINGERPRINT = re.compile("[0-9a-f]{16}")


class Recommender(Exports):
    """Learns from interactions; scores and ranks items for the histories of known and new users.

    A fitted model owns its item vocabulary `items_` and matches every input to it by id.
    `item_counts_` (n_items,) int64 is the number of training users of each item; `history_` are the
    interactions it was fitted on (None after loading, unless they were saved with it).

    The class of a model declares: `name`, as on the command line; `small`, settings for quick
    tests; `uses_validation` and `uses_seed`, whether the result depends on a validation fold and on
    the seed; `uses_device`, `uses_callbacks` and `uses_checkpoint`, whether `fit` computes on that
    device, calls them and keeps its state there; `uses_processes`, whether the processes of
    `recae.distributed` fit it together; `scores_every_item`, whether no item gets the
    score -inf; `personalised`, whether scores are learnt from which users have which items in
    common; `needs_history`, whether a user without a history is a stranger, see `on_unknown` of
    `recommend`; `predicts_ratings`, whether scores are in the unit of the weights; `cubic`, whether
    time or memory grows faster than the users, or the items, alone: `estimate` then samples both.

    >>> all(issubclass(model, recae.Recommender) for model in recae.MODELS.values())
    True
    """

    small: ClassVar[dict[str, Any]] = {}
    uses_validation: ClassVar[bool] = False
    uses_seed: ClassVar[bool] = False
    uses_device: ClassVar[bool] = False
    uses_callbacks: ClassVar[bool] = False
    uses_checkpoint: ClassVar[bool] = False
    uses_processes: ClassVar[bool] = False
    scores_every_item: ClassVar[bool] = True
    predicts_ratings: ClassVar[bool] = False
    cubic: ClassVar[bool] = False
    fitted_params_: dict[str, Any]
    _facts: Mapping[str, Any] = MappingProxyType({})
    _rank: int = 0  # of the process that fitted it together with others
    _loaded_as: str | None = None  # the fingerprint that is in the folder it was loaded from

    def check_params(self) -> None:
        super().check_params()
        check_weights(self)

    @survives_fork
    def fit(
        self,
        data: Interactions | pd.DataFrame | Any,
        validation: Fold | None = None,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        callbacks: training.Callback | Sequence[training.Callback] = (),
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Fits the model to interactions and returns self.

        data: Interactions, a frame with the default column names, or a scipy matrix.
        validation: a fold to choose the best state by, where the model `uses_validation`. seed: an
        integer >= 0; the same seed gives the same model, and where the model does not `uses_seed`,
        every seed does. device: "auto", "cpu", "cuda". callbacks: one or several, called with each
        finished Epoch; if one returns True the training ends. Trackers, as of `recae.tracking`,
        also get parameters and results, of every model. progress: True, False, or None to ask the
        terminal; a model that is fitted in one step shows no bar. checkpoint: a file that keeps
        the state of the training; after an interruption the same call resumes from it and gives the
        same result. A device, callbacks or a checkpoint that the model does not use are warned of;
        see `uses_device`, `uses_callbacks` and `uses_checkpoint`.

        Raises ConfigError for bad options, DataError for bad data, and on Ctrl-C
        TrainingInterrupted, with the model fitted to its best state, once an epoch is finished.

        >>> recae.EASE(l2=3).fit(data)
        EASE(l2=3)
        """
        with training.no_process_waits():
            self.check_params()
            run = training.Run.checked(seed, device, callbacks, progress, checkpoint)
            data = as_interactions(data)
            learn_weighting(self, data)
            if validation is not None:
                check_fold("validation", validation)
                trained, given = weights_seen(data).get("weights"), validation.history.matrix.data
                warn_if_missing(self, given, trained=trained, where="the validation histories")
            self._warn_of_unused(run, device)
            check_processes(self, data, validation, run)
            with training.following(
                run.callbacks, lambda: self._job(data, validation, run)
            ) as told:
                told.validation = validation
                try:
                    with enough_memory(f"fitting {self!r} on {data}"):
                        self._fit(data, validation, run)
                except TrainingInterrupted:
                    self._own(data, run.ranks)
                    told.model = self
                    raise
                self._own(data, run.ranks)
                told.model = self
        return self

    def estimate(
        self,
        data: Interactions | pd.DataFrame | Any,
        validation: Fold | None = None,
        *,
        k: int = 10,
        progress: bool | None = None,
    ) -> Estimate:
        """What `fit`, an evaluation and an export of the model will take on this machine: seconds,
        memory and disk, before anything is fitted.

        Small samples of the data are fitted and ranked until one takes a second, and what they take
        is extrapolated: with a fraction of the users, all items; of a `cubic` model, with a
        fraction of both. A model that trains in epochs is assumed to need all of them; early
        stopping ends before. validation: the fold that `fit` will get, which is ranked after each
        epoch. k: items of a list. progress: as in `fit`. Of an Ensemble the members are estimated.

        Raises ConfigError for bad options and for a model that fits within a time of its own,
        DataError for bad data.

        >>> recae.EASE().estimate(data).fit.seconds < 5
        True
        """
        self.check_params()
        data = as_interactions(data)
        check_some(data)
        if validation is not None:
            check_fold("validation", validation)
        check_integer("k", k, low=1)
        validated = validation.target.n_users if validation and self.uses_validation else 0
        return estimated(self, self._trained(), data, validated, k, check_progress(progress))

    def _job(self, data: Interactions, validation: Fold | None, run: training.Run) -> training.Job:
        """What trackers are told before a fit."""
        return training.Job(
            "fit",
            type(self).__name__,
            {"model": self.name, **self.get_params(), "seed": run.seed},
            {**facts_of(data, validation), "device": str(run.device)},
        )

    def _check_fitted(self) -> None:
        super()._check_fitted()
        if self._rank:
            raise NotFittedError(
                f"this {type(self).__name__} was trained by several processes, and process 0 has "
                f"it; this is process {self._rank}: let process 0 save it, then load it"
            )

    def save(
        self, path: str | Path, *, with_history: bool = False, overwrite: bool = False
    ) -> Path:
        """Writes the model to a folder with a model card, atomically; `recae.load` reads it.

        with_history: also keep the fitted interactions, so that `recommend(users)` works after
        loading. overwrite: replace a model that is there. Of a model that several processes have
        trained, process 0 writes it, and the others return at once. Raises StorageError.

        >>> recae.EASE().fit(data).save("model").name
        'model'
        """
        if self._rank:
            return as_path(path)
        self._check_fitted()
        kept = self.history_ if check_flag("with_history", with_history) else None
        if with_history and kept is None:
            raise DataError("this model has no interactions to save: it was loaded without them")
        saved = contents(self, self._facts, kept)
        return write(type(self), saved, path, overwrite=overwrite)

    @classmethod
    def _restored(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor], files: Mapping[str, Path]
    ) -> Self:
        """The model of a saved folder. Its fingerprint is that of the folder, so that it need not
        be computed again."""
        model = cls().set_params(**hyperparameters(settings))
        model.check_params()
        model.items_, model.item_counts_ = read_items(files)
        set_state(model, arrays)
        model._constant = True
        model.history_ = read_history(files, model.items_)
        model.fitted_params_, model._facts = model.get_params(), dict(settings["facts"])
        known = settings.get("fingerprint")
        model._loaded_as = known if FINGERPRINT.fullmatch(str(known)) else None
        return model

    def to(self, device: str | torch.device) -> Self:
        """Moves the fitted model to a device, where it scores and ranks from then on; returns it.

        device: "auto", "cpu", "cuda" or "cuda:1". A neural model is where it was fitted, and on the
        CPU after loading. Other models score on the CPU; for them a GPU that is named gives a
        warning. Between devices scores differ by rounding. Raises NotFittedError before fit,
        ConfigError for a device that does not exist.

        >>> recae.MultVAE(epochs=1).fit(data).to("cpu").score(data).shape
        (5, 4)
        """
        self._check_fitted()
        found = training.resolve_device(device)
        if not self._move(found) and found.type != "cpu" and device != "auto":
            warn(f"{type(self).__name__} scores on the CPU, whatever the device")
        self._coarse = None
        return self

    def _move(self, device: torch.device) -> bool:
        """Moves what scores are computed from; whether there is anything that can be moved."""
        return False

    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the fitted state: they change with any bit of it.

        A digest of the kind, the hyperparameters, the items and the learnt arrays; saving and
        loading keep it. Raises NotFittedError before fit.

        >>> model = recae.EASE().fit(data)
        >>> model.fingerprint() == recae.load(model.save("same")).fingerprint()
        True
        """
        self._check_fitted()
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state(self).items()}
        about = sha256_of_json([type(self).__name__, self._identity(), [*arrays]])
        learnt = sha256_of_arrays(self.items_.ids, self.item_counts_, *arrays.values())
        return sha256((about + learnt).encode())[:16]

    def _repr_html_(self) -> str:
        settings = [*self.get_params().items()]
        if not self.__sklearn_is_fitted__():
            return html_table(f"{self!r}, not fitted", (), settings, digits=".6g")
        rows: list[tuple[str, object]] = [("items", len(self.items_))]
        for title, table in {**self._facts, **shown_facts(self)}.items():
            named = {} if title == TRAINED_ON else {name: f"{title}: {name}" for name in table}
            rows += [(named.get(n, n), value) for n, value in table.items() if n != "items"]
        facts = html_table(repr(self), (), rows, digits=".6g")
        return html_folded(facts, "Settings", html_table("", (), settings, digits=".6g"))

    def _warn_of_unused(self, run: training.Run, device: Any) -> None:
        """Warns of options of `fit` that have no effect on this model."""
        parts, unused = self._trained(), []
        functions = len(run.callbacks) > len(training.trackers_of(run.callbacks))
        if functions and not any(part.uses_callbacks for part in parts):
            unused.append("callbacks: it is not trained in epochs, so they are never called")
        if run.checkpoint is not None and not any(part.uses_checkpoint for part in parts):
            unused.append("checkpoint: it keeps no state to resume from")
        on_cpu = device == "auto" or run.device.type == "cpu"
        if not on_cpu and not any(part.uses_device for part in parts):
            unused.append(f"device={str(device)!r}: it is fitted on the CPU")
        if unused:
            warn(f"{type(self).__name__} does not use {'; '.join(unused)}")

    def _trained(self) -> Sequence[Recommender]:
        """The models that `fit` trains."""
        return [self]

    def _own(self, data: Interactions, ranks: Ranks | None = None) -> None:
        self.items_, self.history_ = data.items, data
        self._rank = 0 if ranks is None else ranks.rank
        # What was known of an earlier fit, or of the folder it was loaded from.
        weights = weights_seen(data)
        self._facts, self._loaded_as = {TRAINED_ON: weights} if weights else {}, None
        self._constant, self._coarse = False, None
        self.fitted_params_ = self.get_params()
        self.item_counts_ = column_counts(data.matrix)

    @survives_fork
    def to_onnx(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the model as ONNX, which ranks histories without recae and without torch.

        path: ends in .onnx. Beside it are the item ids, NAME.items.json, and weights of more than
        2 GB, NAME.onnx.data. Inputs: `items` (entries,) int64, the columns of all histories one
        after the other, where numbers outside 0..n_items-1 are unknown items and are ignored, and
        `offsets` (rows + 1,) int64, where each history begins, and the end. They may be left out:
        `k` (1,) int64, 10 without; `allowed` (1 or rows, n_items) bool, all True without; and, of a
        model that uses weights, `weights` (entries,) float32, ones without. Outputs: `top_items`
        (rows, k) int64, columns, -1 where nothing is left, and `top_scores` (rows, k) float32, -inf
        there: the lists of `recommend_array` with on_unknown="popular".

        The file is compared with the model on random histories in ONNX Runtime, where that is
        installed. Needs the packages of the extra `onnx`. Raises ConfigError without `onnx`, and
        for a model that cannot be expressed; StorageError where the file cannot be written or
        gives other lists. overwrite: replace files that are there.

        >>> recae.EASE().fit(data).to_onnx("model.onnx").name
        'model.onnx'
        """
        self._check_fitted()
        return save_onnx(self, path, overwrite=overwrite)

    def _onnx_scores(self, histories: Histories) -> Value:
        """The scores of histories in an ONNX graph, (rows, n_items) float32; see `to_onnx`."""
        raise ConfigError(
            f"{type(self).__name__} cannot be written as ONNX: save it with save(), or export its "
            "lists with export()"
        )

    # A model implements these methods, `_score_rows`, and others of `Fitted` where it can.

    @abstractmethod
    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Learns from `data`; hyperparameters and options are checked already."""

    @abstractmethod
    def _arrays(self) -> Mapping[str, Tensor]:
        """The learnt arrays, as named tensors for saving."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        """The inverse of `_arrays`; `items_` is set already."""
