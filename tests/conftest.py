"""Two small planted tables: two tastes with text ids, and one with numbers, weights and times; and
servers that are started once for all tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import settings

import recae
from evaluation.kit.servers import PostgreSQLServer, RedisServer, postgresql_binaries
from recae import Interactions

# Nobody's test fails because another process is busy.
settings.register_profile("recae", deadline=None)
settings.load_profile("recae")

NOT_QUICK = {
    *(
        "apply",
        "cli",
        "comparison",
        "gpu",
        "report",
        "scripts",
        "training",
        "transformers",
        "tuning",
    ),
    *("test_docstrings.py", "test_import.py", "test_packaging.py", "test_project.py"),
    *("test_readme.py",),
    *("test_bootstrap.py", "test_large.py", "test_saved.py", "test_typing.py"),
    *("test_cdae.py", "test_contract_gradients.py", "test_linear_users.py", "test_softmax.py"),
    *("test_concepts.py", "test_rating_error.py", "test_repeatable.py", "test_sources.py"),
    *("test_attributes.py", "test_download.py", "test_ensemble.py", "test_entries.py"),
    *(
        "test_forks.py",
        "test_infinite_ae.py",
        "test_in_a_kernel.py",
        "test_k_core.py",
        "test_protocols.py",
    ),
    *("test_sparse_ae.py", "test_vanilla_ae.py", "test_variational.py"),
}
QUICK_MODELS = ("ease", "mult-vae", "pure-svd")


ON_CPU = ("test_contract_formulas.py", "test_contract_gradients.py")
"""Tests that compute with the tensors of a network, and expect them on the CPU."""


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Marks as quick all but some folders and files, and of the tests of every model a few. With
    --pretend-gpu, tests of the CPU are skipped."""
    pretends = config.getoption("--pretend-gpu")
    for item in items:
        if pretends and item.path.name in ON_CPU:
            item.add_marker(pytest.mark.skip(reason="computes on the CPU"))
        model = getattr(item, "callspec", None) and item.callspec.params.get("name")
        if model in recae.MODELS and model not in QUICK_MODELS:
            continue
        if not NOT_QUICK & set(item.path.relative_to(Path(__file__).parent).parts):
            item.add_marker("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pretend-gpu", action="store_true", help='a pretended GPU is there, and "auto" is it'
    )


@pytest.fixture(scope="session", autouse=True)
def pretended_gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --pretend-gpu the device "auto" is a pretended GPU, from the first test to the last."""
    if not request.config.getoption("--pretend-gpu"):
        yield
        return
    from tests.gpu.pretend import PretendGPU

    with PretendGPU():
        yield


USERS, BLOCK = 36, 8


@pytest.fixture(scope="session")
def text_frame() -> pd.DataFrame:
    """36 users of two tastes over 16 items: even ones have items of i0..i7, odd ones of i8..i15.

    Sorted as text, i10 comes before i2, so that no code equals its number. Items differ in their
    number of users. u0 has every item but i3, u1 has them all.
    """
    rng = np.random.default_rng(3)
    liked = np.arange(BLOCK, 0, -1) / np.arange(BLOCK, 0, -1).sum()
    rows = [("u0", f"i{item}") for item in range(2 * BLOCK) if item != 3]
    rows += [("u1", f"i{item}") for item in range(2 * BLOCK)]
    for user in range(2, USERS):
        taken = rng.choice(BLOCK, size=2 + user % 4, replace=False, p=liked)
        rows += [(f"u{user}", f"i{item + BLOCK * (user % 2)}") for item in taken]
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


@pytest.fixture(scope="session")
def text_data(text_frame: pd.DataFrame) -> Interactions:
    return Interactions.from_frame(text_frame)


@pytest.fixture(scope="session")
def int_frame(text_frame: pd.DataFrame) -> pd.DataFrame:
    """The same with users 100, 107, ..., items 900, 897, ..., weights and times."""
    rng = np.random.default_rng(4)
    user = text_frame["user_id"].str[1:].astype(int)
    item = text_frame["item_id"].str[1:].astype(int)
    return pd.DataFrame(
        {
            "user_id": 100 + 7 * user,
            "item_id": 900 - 3 * item,
            "weight": rng.integers(1, 11, len(user)) / 2,
            "timestamp": 10_000 + rng.permutation(len(user)),
        }
    )


@pytest.fixture(scope="session")
def int_data(int_frame: pd.DataFrame) -> Interactions:
    return Interactions.from_frame(int_frame)


GROUPS, GROUP = 6, 10


@pytest.fixture(scope="session")
def planted() -> recae.Interactions:
    """240 users x 60 items: every user has six of the ten items of one group."""
    rng = np.random.default_rng(0)
    columns = np.concatenate(
        [user % GROUPS * GROUP + rng.permutation(GROUP)[:6] for user in range(240)]
    )
    rows = np.repeat(np.arange(240), 6)
    ones = np.ones(len(rows), dtype=np.float32)
    return recae.Interactions.from_csr(
        sp.csr_matrix((ones, (rows, columns)), shape=(240, GROUPS * GROUP))
    )


@pytest.fixture(scope="session")
def own_group(planted: recae.Interactions) -> Callable[[recae.Recommender], float]:
    """The share of everybody's four unseen items of the group among their best four."""

    def share(model: recae.Recommender) -> float:
        items = model.recommend_array(planted, k=GROUP - 6).items
        return float((items // GROUP == np.arange(len(items))[:, None] % GROUPS).mean())

    return share


@pytest.fixture
def run_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Path]:
    """Runs all cells of a notebook in a kernel of its own, in an empty folder, which it returns.

    The outputs are in the notebook. Raises CellExecutionError where a cell fails.
    """
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    folder = tmp_path / "work"
    folder.mkdir()

    def run(notebook: Any) -> Path:
        where = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=600, resources=where).execute()
        return folder

    return run


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    pytest.importorskip("redis")
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    pytest.importorskip("psycopg")
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv")
    folder = Path(tempfile.mkdtemp(prefix="recae-"))  # pytest's own are closed to other users
    server = PostgreSQLServer(binaries, folder)
    yield server
    server.stop()
    shutil.rmtree(folder)
