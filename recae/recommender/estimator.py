"""The manners of an estimator: hyperparameters declared once, stored as given, checked by fit."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Sequence
from typing import Any, Literal, Self, TypeVar

from recae.errors import ConfigError, unknown_option

T = TypeVar("T")


def param(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """A hyperparameter: its default, one line of meaning, and the valid range or choices."""
    return dataclasses.field(
        default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices}
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
    lines = [f"    {f.name} (default {f.default!r}): {f.metadata['doc']}" for f in _params(made)]
    made.__doc__ = inspect.cleandoc(cls.__doc__ or "") + "\n\nArguments:\n" + "\n".join(lines)
    return made


def _params(cls: type) -> list[dataclasses.Field[Any]]:
    return [declared for declared in dataclasses.fields(cls) if declared.init]


class Estimator:
    """get_params, set_params, clone, repr and the check of hyperparameters."""

    @classmethod
    def param_fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The declared hyperparameters by name; metadata: `doc`, `low`, `high`, `choices`."""
        return {f.name: f for f in _params(cls)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name. `deep` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self.param_fields()}

    def set_params(self, **params: Any) -> Self:
        """Stores hyperparameters and returns self; unknown names raise ConfigError."""
        known = self.param_fields()
        for name in params:
            if name not in known:
                raise unknown_option(f"hyperparameter of {type(self).__name__}", name, known)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def clone(self) -> Self:
        """An unfitted estimator with the same hyperparameters."""
        return type(self)(**self.get_params())

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != self.param_fields()[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def check_params(self) -> None:
        """Raises ConfigError for the first hyperparameter of a wrong type or out of range."""
        hints = typing.get_type_hints(type(self))
        for name, declared in self.param_fields().items():
            value, about = getattr(self, name), declared.metadata
            if about["choices"] is not None:
                if value not in about["choices"]:
                    raise unknown_option(
                        f"{name} of {type(self).__name__}", value, about["choices"]
                    )
            elif not _fits(value, hints[name], about["low"], about["high"]):
                wanted = _describe(hints[name], about["low"], about["high"])
                raise ConfigError(
                    f"{name} of {type(self).__name__} must be {wanted}, not {value!r}"
                )


def _fits(value: object, hint: Any, low: float | None, high: float | None) -> bool:
    if type(None) in typing.get_args(hint):
        if value is None:
            return True
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return isinstance(value, (tuple, list)) and all(_fits(v, inner, low, high) for v in value)
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is int and not isinstance(value, int):
        return False
    if hint is float and not (isinstance(value, (int, float)) and math.isfinite(value)):
        return False
    if isinstance(value, (int, float)):
        return (low is None or value >= low) and (high is None or value <= high)
    return isinstance(value, str) and hint is str


def _describe(hint: Any, low: float | None, high: float | None) -> str:
    names = {int: "an integer", float: "a number", str: "a text", bool: "True or False"}
    options = [arg for arg in typing.get_args(hint) if arg not in (type(None), Ellipsis)]
    inner = options[0] if options else hint
    text = names.get(inner, str(inner))
    if typing.get_origin(hint) is tuple:
        text = f"a tuple, each {text}"
    if low is not None and high is not None:
        text += f" between {low} and {high}"
    elif low is not None:
        text += f" >= {low}"
    return text + (" or None" if type(None) in typing.get_args(hint) else "")
