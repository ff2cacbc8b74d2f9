"""The exceptions and warnings of recae. Every user error raises one of them."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import numbers
import operator
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class RecaeError(Exception):
    """Base of every exception that recae raises on purpose.

    parameter, value: the argument or hyperparameter at fault and what it was, where there is one.

    >>> issubclass(recae.DataError, recae.RecaeError)
    True
    """

    def __init__(
        self, *message: object, parameter: str | None = None, value: object = None
    ) -> None:
        super().__init__(*message)
        self.parameter, self.value = parameter, value


class DataError(RecaeError, ValueError):
    """The data given cannot be used as they are: the message names the culprit and the remedy.

    >>> recae.EASE().fit(data).recommend(99)
    Traceback (most recent call last):
    recae.errors.DataError: unknown user 99 at row 0 (1 of 1 rows have an unknown user; 5 are known)
    """


class ConfigError(RecaeError, ValueError):
    """An option or hyperparameter is unknown, out of range or does not fit the others.

    >>> recae.EASE(l2=-1).fit(data)
    Traceback (most recent call last):
    recae.errors.ConfigError: l2 of EASE must be a number > 0, not -1
    """


class ArgumentError(ConfigError, TypeError):
    """A function or a model has no argument of that name; the message has the nearest one.

    >>> recae.PureSVD(factors=3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    recae.errors.ArgumentError: PureSVD has no argument 'factors'. Did you mean 'latent'? Known: ...
    """


class NotFittedError(RecaeError, AttributeError):
    """The model must be fitted (or loaded) before this can be asked of it.

    >>> recae.EASE().recommend()
    Traceback (most recent call last):
    recae.errors.NotFittedError: this EASE is not fitted: call fit first
    """


class TrainingError(RecaeError, RuntimeError):
    """Training could not go on, for instance because the loss is no longer a number.

    >>> issubclass(recae.errors.TrainingError, RuntimeError)
    True
    """


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended the training; the model is fitted and keeps its best state so far.

    epochs: the finished epochs. Not a RecaeError: like every KeyboardInterrupt it ends the program
    unless it is caught.

    >>> issubclass(recae.errors.TrainingInterrupted, KeyboardInterrupt)
    True
    """

    def __init__(self, message: str, epochs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.epochs = epochs


class StorageError(RecaeError, OSError):
    """Writing failed (full disk, no permission, existing target); existing files are unchanged.

    >>> recae.EASE().fit(data).save("nowhere/model")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    recae.errors.StorageError: cannot write nowhere/model: the folder ... does not exist...
    """


class DownloadError(RecaeError, OSError):
    """A file could not be fetched: unreachable, missing, cut off or other than expected.

    >>> issubclass(recae.errors.DownloadError, recae.RecaeError)
    True
    """


class CapacityError(RecaeError, MemoryError):
    """The computation would not fit in memory; the message has the needed amount.

    >>> issubclass(recae.errors.CapacityError, MemoryError)
    True
    """


class RecaeWarning(UserWarning):
    """Something was left out or will cost more than expected; the message has the details.

    >>> issubclass(recae.RecaeWarning, UserWarning)
    True
    """


class UnusedWeights(RecaeWarning):
    """Interactions have weights, and the model that is fitted to them does not use them.

    >>> issubclass(recae.errors.UnusedWeights, recae.RecaeWarning)
    True
    """


def warn(message: str, category: type[RecaeWarning] = RecaeWarning) -> None:
    """Warns with a RecaeWarning that points at the line outside recae that led to it."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "recae":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def check_integer(name: str, value: object, low: int = 1, high: int | None = None) -> int:
    """The value as an int of at least `low` and at most `high`.

    Raises ConfigError, with the parameter and the value, for anything else: True, 3.0 and "3" are
    no integers.

    >>> check_integer("k", np.int64(3))
    3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        wanted = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise ConfigError(f"{name} must be {wanted}, not {value!r}", parameter=name, value=value)
    return number


def check_number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    below: float | None = None,
    high: float | None = None,
) -> float:
    """The value as a finite float within the bounds; `above` and `below` are not valid themselves.

    Raises ConfigError, with the parameter and the value, for anything else.

    >>> check_number("share", 1, above=0, high=1)
    1.0
    """
    real = isinstance(value, int | float | numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    bounds = {">=": low, ">": above, "<": below, "<=": high}
    fits = {">=": operator.ge, ">": operator.gt, "<": operator.lt, "<=": operator.le}
    given = {sign: bound for sign, bound in bounds.items() if bound is not None}
    if not math.isfinite(number) or not all(fits[sign](number, b) for sign, b in given.items()):
        wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in given.items())
        raise ConfigError(
            f"{name} must be a {f'number {wanted}' if wanted else 'finite number'}, not {value!r}",
            parameter=name,
            value=value,
        )
    return number


def check_flag(name: str, value: object) -> bool:
    """True or False. Raises ConfigError for anything else: "no" is true in Python."""
    if value is True or value is False or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ConfigError(f"{name} must be True or False, not {value!r}", parameter=name, value=value)


def check_option(
    kind: str, name: object, known: Collection[str], *, parameter: str | None = None
) -> None:
    """Raises the ConfigError of `unknown_option` unless the name is one of the known ones."""
    # A list has no hash, and an array is equal to nothing in one piece.
    if not (name is None or isinstance(name, str)) or name not in known:
        raise unknown_option(kind, name, known, parameter=parameter)


def unknown_option(
    kind: str, name: object, known: Iterable[str], *, parameter: str | None = None
) -> ConfigError:
    """A ConfigError for an option that does not exist, with the nearest spelling and the list.

    parameter: the name of the argument, where `kind` is more than that.
    """
    names = list(known)
    message = f"unknown {kind} {name!r}.{did_you_mean(name, names)} Known: {listed(names)}"
    return ConfigError(message, parameter=parameter or kind, value=name)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Did you mean 'ease'?, with the space before it; nothing if no known name is near."""
    near = nearest(name, known)
    return "" if near is None else f" Did you mean {near!r}?"


def listed(names: Iterable[str]) -> str:
    """Names in alphabetical order, with commas."""
    return ", ".join(sorted(names)) or "none"


def explained(function: F) -> F:
    """Makes a function raise ArgumentError for an argument that it does not have.

    Its message has the nearest name, where Python's TypeError has none; `fit` of an estimator says
    of a hyperparameter where it belongs. A function that takes anything is returned as it is.
    """
    parameters = [*inspect.signature(function).parameters.values()]
    if any(one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in parameters):
        return function
    known = {one.name for one in parameters}
    by_place = sum(one.kind is not one.KEYWORD_ONLY for one in parameters)

    @functools.wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        if not given.keys() <= known or len(args) > by_place:
            raise _no_argument(function, [one.name for one in parameters], by_place, args, given)
        return function(*args, **given)

    return checked  # type: ignore[return-value]


def _no_argument(
    function: Callable[..., Any],
    known: list[str],
    by_place: int,
    args: tuple[Any, ...],
    given: dict[str, Any],
) -> ArgumentError:
    """The error of a call with too many arguments by place, or with an unknown name."""
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    method = known[:1] in (["self"], ["cls"])
    names = known[1:] if method else known
    listing = f"Known: {', '.join(names) or 'none'}"
    name = next((key for key in given if key not in known), None)
    if name is None:
        most = by_place - method
        return ArgumentError(
            f"{called} takes {most} {'argument' if most == 1 else 'arguments'} without a name, not "
            f"{len(args) - method}: name the others. {listing}",
            parameter=called,
        )
    hint = did_you_mean(name, names)
    fields: Any = getattr(args[0], "param_fields", dict) if method and args else dict
    setting = nearest(name, fields())
    if setting is not None and not hint:
        owner = type(args[0]).__name__
        hint = f" {setting} is a hyperparameter: write {owner}({setting}={given[name]!r})."
    message = f"{called} has no argument {name!r}.{hint} {listing}"
    return ArgumentError(message, parameter=name, value=given[name])


def folded(name: object) -> str:
    """A name without case, separators and accents: what people mean when they type it."""
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is meant by another spelling, or by the name that a peer gives it.

    Case, `-` and `_` do not count; then come the names in `PEERS`; then the most similar spelling.
    None if nothing is near.

    >>> nearest("Mult_VAE", ["mult-vae", "ease"]), nearest("factors", ["latent", "l2"])
    ('mult-vae', 'latent')
    """
    names = {folded(one): one for one in sorted(known)}
    wanted = folded(name)
    if wanted in names:
        return names[wanted]
    for ours in _of_peers().get(wanted, []):
        if ours in names.values():
            return ours
    near = difflib.get_close_matches(wanted, names, n=1)
    return names[near[0]] if near else None


PEERS = """
mult-vae MultVAE: MultiVAE Mult-VAE-PR StandardVAE VAE
mult-dae MultDAE: MultiDAE DAE
ease EASE: EASER EASEModel EASEr
als ALS: AlternatingLeastSquares ImplicitMF ImplicitMFScorer iALS WMF WRMF MF
als ALS: ImplicitALSWrapperModel
bpr BPR: BayesianPersonalizedRanking BPRMF MF-BPR
item-knn ItemKNN: ItemKNNScorer ItemItemRecommender ItemItem CosineRecommender BM25Recommender
item-knn ItemKNN: TFIDFRecommender ImplicitItemKNNWrapperModel ItemCF KNN
user-knn UserKNN: UserKNNScorer UserUser UserCF
popularity Popularity popular: Pop PopScorer MostPop MostPopular TopPop PopularModel popular
pure-svd PureSVD: SVD PureSVDModel TruncatedSVD BiasedSVD
random Random: RandomModel RandomRec
latent: factors n_factors num_factors n_components components embedding_size embedding_dim embedding
latent: features latent_dim latent_dimension latent_size n_latent rank dim bottleneck
l2: reg regularization regularisation reg_weight lambda lambd lam l2_reg weight_decay decay
l2: l2_regularization user_reg item_reg
epochs trials: iterations iteration n_iter iters max_iter n_epochs num_epochs epoch train_epochs
epochs trials: max_epochs num_iterations
lr: learning_rate step_size eta
hidden: mlp_hidden_size hidden_size hidden_sizes hidden_layer_sizes layers hidden_layers
hidden: hidden_dims hidden_dim encoder_dims intermediate_dim
dropout: dropout_prob dropout_rate dropout_ratio p_dropout
beta: anneal_cap kl_weight max_beta
anneal: total_anneal_steps anneal_steps annealing warmup
batch_size: train_batch_size batch eval_batch_size bs
seed --seed: random_state random_seed rng_seed rng rng_spec
neighbours: neighbors n_neighbors max_nbrs n_nbrs knn K
k -k: n top_k top_n n_items num_items n_recommendations num_recommendations cutoff how_many length
exclude_seen --no-exclude-seen: filter_already_liked_items filter_already_liked filter_viewed
exclude_seen --no-exclude-seen: filter_seen remove_seen exclude_viewed exclude_known allow_seen
exclude_items --exclude-items: filter_items blacklist blocklist exclude items_to_exclude forbidden
items --items: items_to_recommend whitelist candidates selected_items allowed only_items
history --liked --history: user_items history_items user_history interactions
data: X interactions train train_set train_data dataset user_items
users user --users --user: user_id user_ids uids uid user_col user_column user_field col_user
items item --items --item: item_id item_ids iids item_col item_column item_field col_item
weight --weight: rating_col rating col_rating count score
time --time: time_col time_field col_timestamp timestamp date
sep --sep: delimiter separator field_separator
progress --verbose: verbose show_progress progress_bar tqdm
device --device: use_gpu gpu cuda accelerator
test held_out --held-out: test_size test_ratio test_fraction test_share
validation --held-out: val_size validation_size val_ratio valid
trials --trials: n_trials max_evals num_trials
seconds --seconds: timeout max_time time_budget time_limit
overwrite --overwrite: force replace exist_ok
path out --out: output out_file filename file filepath fname
model --model: algo algorithm model_name
metrics metric --metrics --metric: valid_metric eval_metric scoring
--set: param params hyperparameter hyperparameters
fit: train learn
recommend: predict recs rec suggest topn
tune: search optimize optimise hyperopt hpo
evaluate: eval benchmark test compare measure
map: plot draw visualize tsne
datasets: data download
export: dump batch write
hit_rate: HR hit hits hit_ratio
precision: prec P
recall: rec R sensitivity
mrr: RR reciprocal_rank RecipRank mean_reciprocal_rank
map: AP average_precision mean_average_precision
coverage: item_coverage cov catalog_coverage catalogue_coverage
gini: gini_index ListGini exposure_gini
diversity: ILD intra_list_similarity ILS intra_list_diversity
popularity: average_popularity ARP mean_popularity
novelty: MIUF self_information EPC
ndcg: normalized_discounted_cumulative_gain ndcg_score
"""
"""Our names, in the order of preference, and those of implicit, RecBole, LensKit, RecTools,
scikit-learn and others for the same. They are answered, not accepted: what a name means differs
between libraries, and silence would hide it."""


def _of_peers() -> dict[str, list[str]]:
    """A folded name of a peer -> ours."""
    found: dict[str, list[str]] = {}
    for line in PEERS.strip().splitlines():
        ours, theirs = line.split(":")
        for name in theirs.split():
            found.setdefault(folded(name), []).extend(ours.split())
    return found
