"""Estimator: hyperparameters that the constructor stores and `fit` checks; clone and repr."""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal, Self, TypeVar

from recae.errors import ConfigError, check_option, explained
from recae.estimators.manners import Manners
from recae.estimators.saved import register
from recae.system.files import plain

T = TypeVar("T")


def param(
    doc: str,
    *,
    default: Any,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    usual: tuple[float, float] | Sequence[str] | None = None,
    added: bool = False,
) -> Any:
    """A hyperparameter: one line of meaning, its default, the valid values and those worth a try.

    low, high: bounds that are valid themselves; above: a bound that is not; choices: the valid
    texts. usual: the range (low, high) that a search draws from, or the choices it takes. Without
    it a number stays at its default. For a tuple bounds and range are those of each member. added:
    older versions lack it, and its default does what they did. Raises ConfigError for a usual range
    that is none or not valid throughout.
    """
    valid = {"low": low, "above": above, "high": high, "choices": choices}
    if usual is not None:
        _check_usual(doc, usual, valid)
    return dataclasses.field(
        default=default, metadata={"doc": doc, "usual": usual, "added": added, **valid}
    )


def learnt(*, init: Literal[False] = False) -> Any:
    """An attribute that fitting sets: no argument, no value before; its name ends in `_`."""
    return dataclasses.field(init=init)


@typing.dataclass_transform(
    kw_only_default=True, eq_default=False, field_specifiers=(param, learnt)
)
def estimator(cls: type[T]) -> type[T]:
    """Makes a class of `param` fields an estimator and adds its arguments to its docstring."""
    made = dataclasses.dataclass(eq=False, kw_only=True, repr=False)(cls)
    made.__init__.__qualname__ = f"{cls.__name__}.__init__"  # of an older Python it has no class
    made.__init__ = explained(made.__init__)  # type: ignore[method-assign]
    lines = [
        f"    {f.name} (default {f.default!r}{usually(f, ', ')}): {f.metadata['doc']}"
        for f in params(made)
    ]
    made.__doc__ = inspect.cleandoc(cls.__doc__ or "") + "\n\nArguments:\n" + "\n".join(lines)
    return made


def params(cls: type) -> list[dataclasses.Field[Any]]:
    """The fields of an estimator class that are hyperparameters."""
    return [declared for declared in dataclasses.fields(cls) if declared.init]


def usually(declared: dataclasses.Field[Any], before: str) -> str:
    """The values worth a try in words, such as "usually 1 to 5000", after `before`; or nothing."""
    about = declared.metadata
    if about["usual"] is None:
        return ""
    if about["choices"] is not None:
        return f"{before}usually {' or '.join(about['usual'])}"
    low, high = about["usual"]
    return f"{before}usually {low:.12g} to {high:.12g}"


def complaint(value: object, hint: Any, about: Mapping[str, Any]) -> str | None:
    """The expected value, such as "an integer >= 1"; None if the value is valid."""
    if type(None) in typing.get_args(hint):  # such as int | None
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
        wanted = complaint(value, hint, about)
        return None if wanted is None else f"{wanted}, or None"
    many = typing.get_origin(hint) is tuple
    kind = typing.get_args(hint)[0] if many else hint
    values = value if many and isinstance(value, (tuple, list)) else [value]
    if many == isinstance(value, (tuple, list)) and all(_valid(v, kind, about) for v in values):
        return None
    words = {int: "an integer", float: "a number", str: "a text", bool: "True or False"}
    bounds = [
        f"{sign} {about[name]}"
        for name, sign in (("low", ">="), ("above", ">"), ("high", "<="))
        if about[name] is not None
    ]
    return ("a tuple, each " if many else "") + " ".join(
        [words[kind], " and ".join(bounds)]
    ).strip()


def written(value: object) -> str:
    """A value as Python writes it, which `ast.literal_eval` reads: of numpy's number the number.

    >>> written((np.int64(2), 3))
    '(2, 3)'
    """
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(map(_plain, value))
    with suppress(TypeError):  # no number of numpy
        return plain(value)
    return value


def _check_usual(doc: str, usual: Sequence[Any], valid: Mapping[str, Any]) -> None:
    """Raises ConfigError unless these are choices, or two valid numbers that rise."""
    if valid["choices"] is not None:
        if not usual or not set(usual) <= set(valid["choices"]):
            raise ConfigError(f"usual {usual!r} of {doc!r} must be some of {valid['choices']!r}")
        return
    numbers = len(usual) == 2 and all(_valid(bound, float, valid) for bound in usual)
    if not numbers or not usual[0] < usual[1]:
        raise ConfigError(
            f"usual {usual!r} of {doc!r} must be two valid numbers, the second one larger"
        )


def _valid(value: object, kind: type, about: Mapping[str, Any]) -> bool:
    """Whether a value is of the type and within the bounds of its declaration. A boolean is no
    integer, and NaN is never valid."""
    if kind in (bool, str):
        return isinstance(value, kind)
    if isinstance(value, bool):  # which Python counts among the integers
        return False
    if not isinstance(value, numbers.Integral if kind is int else numbers.Real):
        return False
    number, low, above, high = float(value), about["low"], about["above"], about["high"]
    return (
        math.isfinite(number)
        and (low is None or number >= low)
        and (above is None or number > above)
        and (high is None or number <= high)
    )


class Estimator(Manners):
    """get_params, set_params, clone, presets, repr and the check of hyperparameters."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fitted_params_: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls)  # so that `recae.load` knows it by its name
        explained(cls)

    @classmethod
    def preset(cls, name: str = "paper") -> Self:
        """An unfitted estimator with named settings, such as those of its authors.

        Settings of a paper suit its data and hardware; the defaults suit a first try. Raises
        ConfigError for an unknown name.

        >>> recae.MultDAE.preset("paper").l2
        2e-05
        """
        check_option(f"preset of {cls.__name__}", name, cls.presets)
        return cls(**cls.presets[name])

    @classmethod
    def param_fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The declared hyperparameters by name; metadata: as in `param`.

        >>> list(recae.PureSVD.param_fields())
        ['latent', 'weights', 'weight_transform']
        """
        return {f.name: f for f in params(cls)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name. `deep` is there for scikit-learn and changes nothing.

        >>> recae.PureSVD(latent=5).get_params()
        {'latent': 5, 'weights': 'neither', 'weight_transform': 'none'}
        """
        return {name: getattr(self, name) for name in self.param_fields()}

    def _identity(self) -> dict[str, Any]:
        """The hyperparameters that identify a fitted state, also one of an older version: those
        that it lacked count only where they are not at their defaults."""
        fields, values = self.param_fields(), self.get_params()
        later = {name for name, field in fields.items() if field.metadata["added"]}
        same = {name for name in later if values[name] == fields[name].default}
        return {name: value for name, value in values.items() if name not in same}

    def set_params(self, **params: Any) -> Self:
        """Stores hyperparameters and returns self. Raises ConfigError for unknown names.

        >>> recae.EASE().set_params(l2=5)
        EASE(l2=5)
        """
        known = self.param_fields()
        for name in params:
            check_option(f"hyperparameter of {type(self).__name__}", name, known)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def clone(self) -> Self:
        """An unfitted estimator with the same hyperparameters.

        >>> recae.EASE(l2=5).fit(data).clone()
        EASE(l2=5)
        """
        return type(self)(**self.get_params())

    def __repr__(self) -> str:
        changed = [
            f"{name}={written(value)}"
            for name, value in self.get_params().items()
            if value != self.param_fields()[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def check_params(self) -> None:
        """Raises ConfigError for the first hyperparameter of a wrong type or out of range.

        >>> recae.EASE(l2=0).check_params()
        Traceback (most recent call last):
        recae.errors.ConfigError: l2 of EASE must be a number > 0, not 0
        """
        hints = typing.get_type_hints(type(self))
        for name, declared in self.param_fields().items():
            value, about = getattr(self, name), declared.metadata
            owner = type(self).__name__
            if about["choices"] is not None:
                check_option(f"{name} of {owner}", value, about["choices"], parameter=name)
                continue
            wanted = complaint(value, hints[name], about)
            if wanted is not None:
                raise ConfigError(
                    f"{name} of {owner} must be {wanted}, not {value!r}",
                    parameter=name,
                    value=value,
                )

    def _check_fitted(self) -> None:
        """Raises NotFittedError before fit, and ConfigError if a hyperparameter changed since."""
        if not hasattr(self, "fitted_params_"):
            raise self._not_fitted()
        for name, then in self.fitted_params_.items():
            now = getattr(self, name)
            if now != then:
                raise ConfigError(
                    f"{name} of this {type(self).__name__} was {then!r} when it was fitted and is "
                    f"{now!r} now: fit it again, or set it back",
                    parameter=name,
                    value=now,
                )
