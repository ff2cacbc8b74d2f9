"""Serving fitted models: a service over HTTP, and the stores of histories it looks users up in.

FastAPI, uvicorn and pydantic are needed for the service only: `pip install "recae[serve]"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from recae.errors import ConfigError, explained
from recae.serve.settings import Settings as Settings
from recae.serve.shelf import Served as Served
from recae.serve.shelf import Shelf as Shelf
from recae.serve.stores import HistoryStore as HistoryStore
from recae.serve.stores import open_store as open_store
from recae.serve.stores import write_histories as write_histories


@explained
def create_app(
    shelf: Shelf, *, store: HistoryStore | None = None, settings: Settings | None = None
) -> Any:
    """The service as an ASGI application (FastAPI), for uvicorn or any other server.

    shelf: the models. store: where the histories of users are, see `open_store`. settings: limits
    and the token. Raises ConfigError for anything else, and without FastAPI.

    >>> from pathlib import Path
    >>> from recae.serve import Shelf, create_app
    >>> path = recae.EASE().fit(data).save("shown")
    >>> create_app(Shelf({"ease": path})).title
    'recae'
    """
    settings = Settings() if settings is None else settings
    _check("shelf", shelf, Shelf, "a Shelf({name: folder})")
    _check("store", store, HistoryStore | None, "the result of open_store(url), or another store")
    _check("settings", settings, Settings, "Settings(...)")
    return part("app").create_app(shelf, store=store, settings=settings)


def _check(name: str, given: object, kind: Any, wanted: str) -> None:
    if not isinstance(given, kind):
        raise ConfigError(
            f"{name} must be {wanted}, not {type(given).__name__}", parameter=name, value=given
        )


def part(name: str) -> Any:
    """A module of the service that needs the extra `serve`. Raises ConfigError without it."""
    try:
        return import_module(f"recae.serve.{name}")
    except ModuleNotFoundError as error:
        missing = error.name or "FastAPI"
        if missing.partition(".")[0] == "recae":
            raise
        raise ConfigError(f'the service needs {missing}: pip install "recae[serve]"') from error
