"""Serving fitted models: a service over HTTP, and the stores of histories it looks users up in.

FastAPI, uvicorn and pydantic are needed for the service only: `pip install "recae[serve]"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from recae.errors import ConfigError
from recae.serve.settings import Settings as Settings
from recae.serve.shelf import Served as Served
from recae.serve.shelf import Shelf as Shelf
from recae.serve.stores import HistoryStore as HistoryStore
from recae.serve.stores import open_store as open_store
from recae.serve.stores import write_histories as write_histories


def create_app(
    shelf: Shelf, *, store: HistoryStore | None = None, settings: Settings | None = None
) -> Any:
    """The service as an ASGI application (FastAPI), for uvicorn or any other server.

    shelf: the models. store: where the histories of users are, see `open_store`. settings: limits
    and the token. Raises ConfigError without FastAPI.

    >>> from pathlib import Path
    >>> from recae.serve import Shelf, create_app
    >>> path = recae.EASE().fit(data).save("shown")
    >>> create_app(Shelf({"ease": path})).title
    'recae'
    """
    return part("app").create_app(shelf, store=store, settings=settings or Settings())


def part(name: str) -> Any:
    """A module of the service that needs the extra `serve`. Raises ConfigError without it."""
    try:
        return import_module(f"recae.serve.{name}")
    except ModuleNotFoundError as error:
        missing = error.name or "FastAPI"
        if missing.partition(".")[0] == "recae":
            raise
        raise ConfigError(f'the service needs {missing}: pip install "recae[serve]"') from error
