"""The exceptions and warnings of recae. Every user error raises one of them."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from recae.errors.names import did_you_mean as did_you_mean
from recae.errors.names import folded as folded
from recae.errors.names import listed as listed
from recae.errors.names import nearest as nearest

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

    >>> recae.EASE().fit(scipy.sparse.csr_matrix((2, 3)))
    Traceback (most recent call last):
    recae.errors.DataError: there are no interactions to learn from
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


class StoreError(RecaeError, OSError):
    """A store of histories is down or slow, or holds what is no history; see `recae.serve.stores`.

    retry_after: seconds after which another try is worthwhile. A service answers 503.

    >>> recae.errors.StoreError("down", retry_after=2.0).retry_after
    2.0
    """

    def __init__(
        self,
        *message: object,
        retry_after: float = 1.0,
        parameter: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(*message, parameter=parameter, value=value)
        self.retry_after = retry_after


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


class UnusedColumn(RecaeWarning):
    """A table has a column that looks like weights or times, and none of them was read.

    >>> issubclass(recae.errors.UnusedColumn, recae.RecaeWarning)
    True
    """


class RepeatedRows(RecaeWarning):
    """Several rows of a table have the same user and item, and the last of them counts.

    >>> issubclass(recae.errors.RepeatedRows, recae.RecaeWarning)
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


def explained(given: F) -> F:
    """Makes a function, or the constructor and the public methods of a class, raise ArgumentError
    for an argument that they do not have.

    Its message has the nearest name, where Python's TypeError has none; `fit` of an estimator says
    of a hyperparameter where it belongs. A function that takes anything is left as it is.
    """
    if not inspect.isclass(given):
        return _explained_function(given)
    for name, member in list(vars(given).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if inspect.isfunction(member):
            setattr(given, name, _explained_function(member))
        elif isinstance(member, classmethod | staticmethod):
            setattr(given, name, type(member)(_explained_function(member.__func__)))
    return given


def _explained_function(function: F) -> F:
    """The function with a check of the names of its arguments before the call. One that takes any
    argument is returned as it is."""
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
