"""One `load` for whatever `save` wrote."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, overload

from recae.errors import ConfigError, DataError
from recae.estimators.folder import kind_of
from recae.system.files import as_path

T = TypeVar("T")


@overload
def load(path: str | Path) -> Any: ...


@overload
def load(path: str | Path, kind: Callable[..., T]) -> T: ...  # type[T] takes no abstract class


def load(path: str | Path, kind: Any = object) -> Any:
    """Reads what `save` of a recommender or a transformer wrote, onto the CPU.

    kind: the class that it must be of, such as `recae.Recommender`; with it type checkers know what
    comes back. Raises DataError for a directory that is not a whole, unaltered model of a known
    format, or of another class, ConfigError for a kind that is no class.

    >>> recae.load(recae.EASE(l2=3).fit(data).save("model"))
    EASE(l2=3)
    >>> recae.load("model", recae.Autoencoder)
    Traceback (most recent call last):
    recae.errors.DataError: model holds an EASE; a recae.Autoencoder was asked for
    """
    folder = as_path(path)
    if not isinstance(kind, type):
        raise ConfigError(f"kind must be a class, such as recae.Recommender, not {kind!r}")
    room = "recae.models" if kind_of(folder) is None else "recae.transformers"
    found = import_module(room).load(folder)
    if not isinstance(found, kind):
        raise DataError(
            f"{folder} holds {_a(type(found).__name__)}; a recae.{kind.__name__} was asked for"
        )
    return found


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIO" else f"a {name}"
