"""The space of a search: ranges and choices of hyperparameters."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from recae.errors import ConfigError, check_option
from recae.estimators.params import Estimator

Given = Mapping[str, Any]
"""Hyperparameter -> a tuple (low, high), or a list of choices."""

DIGITS = 3
"""Significant digits of a number that is proposed: of itself in a logarithmic range, else of the
width of the range."""

TRANSFORM = "weight_transform"
NO_USE = "neither"

FEW = 10_000
"""Settings that a space may have to be listed."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; logarithmic where they span a factor of ten.

    members: for a hyperparameter that is a tuple, how many numbers it has; each is searched.
    """

    low: float
    high: float
    integer: bool
    members: int | None = None

    @property
    def log(self) -> bool:
        """Whether it is one of magnitudes, which is covered by factors."""
        return self.low > 0 and self.high >= 10 * self.low

    def rounded(self, number: float) -> float:
        """The number with few digits, inside the range."""
        if self.integer:
            return int(min(max(round(number), self.low), self.high))
        size = abs(number) if self.log else self.high - self.low
        digits = DIGITS - 1 - math.floor(math.log10(size)) + (not self.log)
        return float(min(max(round(number, digits), self.low), self.high))

    def values(self) -> range | None:
        """All numbers of it, None if there is no end to them."""
        return range(int(self.low), int(self.high) + 1) if self.integer else None


@dataclass(frozen=True)
class Choices:
    """Some values."""

    options: tuple[Any, ...]
    members: None = None

    def values(self) -> range:
        """The places of the options."""
        return range(len(self.options))


@dataclass(frozen=True)
class Space:
    """Hyperparameter -> what is searched of it, in the order of the names.

    Searching goes by coordinates: numbers of ranges and places of options. A tuple has a coordinate
    for each member, called "hidden[0]" and so on.
    """

    parts: Mapping[str, Range | Choices]

    def coordinates(self) -> dict[str, Range | Choices]:
        """Name of a coordinate -> its range or options."""
        found: dict[str, Range | Choices] = {}
        for name, part in self.parts.items():
            found |= {place: part for place in _places(name, part)}
        return found

    def params(self, coordinates: Mapping[str, float]) -> dict[str, Any]:
        """The settings at some coordinates."""
        found: dict[str, Any] = {}
        for name, part in self.parts.items():
            if isinstance(part, Choices):
                found[name] = part.options[int(coordinates[name])]
                continue
            numbers = [part.rounded(coordinates[place]) for place in _places(name, part)]
            found[name] = numbers[0] if part.members is None else tuple(numbers)
        if found.get("weights") == NO_USE and TRANSFORM in found:
            found[TRANSFORM] = "none"  # of weights that are not used there is one setting
        return found

    def place(self, params: Mapping[str, Any]) -> dict[str, float] | None:
        """The coordinates of settings, at the end of a range that they are beyond; None for what is
        not among the choices or has another number of members."""
        found: dict[str, float] = {}
        for name, part in self.parts.items():
            if isinstance(part, Choices):
                if params[name] not in part.options:
                    return None
                found[name] = part.options.index(params[name])
                continue
            values = (params[name],) if part.members is None else params[name]
            if len(values) != (part.members or 1):
                return None
            for place, value in zip(_places(name, part), values, strict=True):
                found[place] = min(max(value, part.low), part.high)
        return found

    def all(self) -> Iterator[dict[str, Any]] | None:
        """All settings there are, None if they are more than a few."""
        values = [part.values() for part in self.coordinates().values()]
        finite = [found for found in values if found is not None]
        if len(finite) < len(values) or math.prod(map(len, finite)) > FEW:
            return None
        names = list(self.coordinates())
        return (self.params(dict(zip(names, point, strict=True))) for point in product(*finite))

    def described(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            name: {"choices": list(part.options)}
            if isinstance(part, Choices)
            else {"low": part.low, "high": part.high}
            for name, part in self.parts.items()
        }


def _places(name: str, part: Range | Choices) -> list[str]:
    return [name] if part.members is None else [f"{name}[{i}]" for i in range(part.members)]


def read_space(model: Estimator, given: Given | None, weighted: bool = False) -> Space:
    """The search space of a model: the given one, else the ranges of its `param(usual=...)`.

    weighted: whether the weights of the data differ; without that `weights` and
    `weight_transform` are not among the ranges. A tuple of two numbers is a range, a list is
    choices. Raises ConfigError for an unknown name, an invalid range, values that the
    hyperparameter does not take, a `weight_transform` without weights, and an empty space. The
    space of a model without usual ranges is empty: its own settings are all there is to try.

    >>> read_space(recae.PureSVD(), None).parts
    {'latent': Range(low=16, high=512, integer=True, members=None)}
    """
    if given is None:
        parts = _usual(model, weighted)
    elif not isinstance(given, Mapping):
        raise ConfigError(
            f"space must map names to ranges or choices, as {EXAMPLE}, not {given!r}",
            parameter="space",
            value=given,
        )
    else:
        parts = {str(name): _read(model, name, value) for name, value in given.items()}
        if (
            TRANSFORM in parts
            and "weights" not in parts
            and model.get_params()["weights"] == NO_USE
        ):
            raise ConfigError(
                f"{TRANSFORM} is in the space, and weights={NO_USE!r} of {type(model).__name__} "
                "uses no weights: set weights, or put it in the space too",
                parameter="space",
                value=given,
            )
    if not parts and given is not None:
        known = [name for name in model.param_fields() if name != "metric"]
        raise ConfigError(
            f"there is nothing to search of {type(model).__name__}: "
            + (
                f"name a space, as {EXAMPLE}, of {', '.join(known)}"
                if known
                else "it has no such hyperparameter"
            ),
            parameter="space",
            value=given,
        )
    return Space(dict(sorted(parts.items())))


EXAMPLE = '{"l2": (100.0, 2000.0), "latent": [100, 148]}'


def _usual(model: Estimator, weighted: bool) -> dict[str, Range | Choices]:
    """The usual range of each hyperparameter; `weights` only where the data have some and the model
    may ignore them."""
    found: dict[str, Range | Choices] = {}
    known = model.param_fields()
    # A model that has no usual `weights` is one of ratings, and its weights are their unit.
    if not weighted or "weights" not in known or known["weights"].metadata["usual"] is None:
        known = {name: about for name, about in known.items() if name not in ("weights", TRANSFORM)}
    for name, declared in known.items():
        usual = declared.metadata["usual"]
        if usual is None:
            continue
        if declared.metadata["choices"] is None:
            members = getattr(model, name)
            if members != ():  # no layer has no width
                found[name] = _range(model, name, tuple(usual))
        elif len(usual) > 1:
            found[name] = Choices(tuple(usual))
    return found


def _read(model: Estimator, name: str, given: Any) -> Range | Choices:
    """A range or the choices of one hyperparameter. Raises ConfigError for others than (low, high)
    and lists, and for `metric`."""
    owner, known = type(model).__name__, model.param_fields()
    check_option(f"hyperparameter of {owner} in the space", name, known, parameter="space")
    if name == "metric":
        raise ConfigError(
            f"metric of {owner} cannot be searched: the search maximises one metric",
            parameter=name,
            value=given,
        )
    if isinstance(given, tuple):
        return _range(model, name, given)
    if not isinstance(given, list):
        raise ConfigError(
            f"{name} in the space must be a range, as (1.0, 100.0), or a list of choices, as "
            f"[1, 2], not {given!r}",
            parameter=name,
            value=given,
        )
    if not given:
        raise ConfigError(f"{name} in the space has no choices", parameter=name, value=given)
    for number, value in enumerate(given):
        _check(model, name, value)
        if value in given[:number]:
            raise ConfigError(
                f"{name} in the space has the choice {value!r} twice", parameter=name, value=given
            )
    return Choices(tuple(given))


def _range(model: Estimator, name: str, given: tuple[Any, ...]) -> Range:
    """A range of numbers, of each member where the hyperparameter is a tuple. Raises
    ConfigError."""
    hint = typing.get_type_hints(type(model))[name]
    many = typing.get_origin(hint) is tuple
    kind = typing.get_args(hint)[0] if many else hint
    if kind not in (int, float) or model.param_fields()[name].metadata["choices"] is not None:
        raise ConfigError(
            f"{name} of {type(model).__name__} has no order to range over: give a list of choices, "
            f"not {given!r}",
            parameter=name,
            value=given,
        )
    if len(given) != 2:
        raise ConfigError(
            f"a range of {name} is (low, high), not {given!r}; choices are a list",
            parameter=name,
            value=given,
        )
    for bound in given:
        _check(model, name, (bound,) if many else bound)
    low, high = (kind(bound) for bound in given)
    if not low < high:
        raise ConfigError(
            f"a range of {name} must have low < high, not {given!r}", parameter=name, value=given
        )
    members = len(getattr(model, name)) if many else None
    if members == 0:
        raise ConfigError(
            f"{name} of {type(model).__name__} is empty, so there is no member to range over: give "
            "it members in the model, or choices as a list of tuples",
            parameter=name,
            value=given,
        )
    return Range(low, high, kind is int, members)


def _check(model: Estimator, name: str, value: Any) -> None:
    """Raises ConfigError unless the hyperparameter takes the value."""
    try:  # not the checks of a subclass: whether values fit each other is seen when they are fitted
        Estimator.check_params(model.clone().set_params(**{name: value}))
    except ConfigError as error:
        raise ConfigError(f"{error} as in the space", parameter=name, value=value) from error
