"""Two small models on one shelf, and a client of the service around them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae.serve import Settings, Shelf, create_app

TITLES = {item: f"Film {item}" for item in range(0, 30, 2)}


def table(prefix: str = "") -> Any:
    """400 pairs of 40 users and 30 items; ids are integers, or text behind a prefix."""
    pairs = np.unique(np.random.default_rng(0).integers(0, (40, 30), (400, 2)), axis=0)
    users, items = pairs.T
    names = [f"{prefix}{item}" for item in items.tolist()] if prefix else items
    return pd.DataFrame({"user_id": users, "item_id": names})


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of an EASE with integers as ids and of a PureSVD with text."""
    folder = tmp_path_factory.mktemp("served")
    ease = recae.EASE().fit(table()).save(folder / "ease")
    words = recae.PureSVD(latent=4).fit(table("item ")).save(folder / "words")
    return {"ease": ease, "words": words}


@pytest.fixture(scope="session")
def ease(places: dict[str, Path]) -> Any:
    return recae.load(places["ease"])


@pytest.fixture(scope="session")
def words(places: dict[str, Path]) -> Any:
    return recae.load(places["words"])


@pytest.fixture(scope="session")
def shelf(places: dict[str, Path]) -> Shelf:
    return Shelf(places)


@pytest.fixture(scope="session")
def client(places: dict[str, Path]) -> Iterator[Any]:
    """A client of a service with titles for half of the items, and with small limits."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    testclient = pytest.importorskip("starlette.testclient", reason="httpx is not installed")
    limits = Settings(max_k=50, max_history=100, max_batch=20, max_body=4000, max_batch_body=9000)
    app = create_app(Shelf({"ease": places["ease"]}, titles=TITLES), settings=limits)
    with testclient.TestClient(app, raise_server_exceptions=False) as found:
        yield found
