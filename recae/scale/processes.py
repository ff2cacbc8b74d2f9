"""What every process of a cluster does first: it loads the model of the job, and no other."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import torch

from recae.data.ids import show
from recae.errors import ConfigError, DataError, RecaeError
from recae.estimators.saved import CONFIG, load
from recae.recommend import Recommender
from recae.system.digests import sha256
from recae.system.machine import __version__


def digest_of(path: str) -> str:
    """16 hexadecimal digits that tell the saved model of a folder from others. Raises DataError."""
    try:
        text = (Path(path) / CONFIG).read_bytes()
        parsed = json.loads(text)
        return sha256(str(parsed["digest"]).encode())[:16]
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no saved model"
        raise DataError(
            f"the machine {socket.gethostname()} cannot read the model {path}: {reason}. The path "
            "must lead to the same saved model on every machine (shared storage)",
            parameter="model_path",
            value=path,
        ) from None


def model_of(path: str, digest: str) -> Recommender:
    """The model of a folder, with this digest. Raises DataError for another one."""
    _check_digest(path, digest)
    model: Recommender = load(path, Recommender)
    _check_digest(path, digest)  # the folder may have been replaced meanwhile
    return model


def loaded(path: str, digest: str) -> Recommender:
    """`model_of`, loaded once in this process."""
    _check_digest(path, digest)
    return _loaded(path, digest)


_loaded = functools.lru_cache(maxsize=1)(model_of)


def _check_digest(path: str, digest: str) -> None:
    if digest_of(path) != digest:
        raise DataError(
            f"the machine {socket.gethostname()} finds another model in {path} than the job began "
            "with: save new models to new folders, and start the job again",
            parameter="model_path",
            value=path,
        )


def check_device(model: Recommender, device: str) -> None:
    """Raises ConfigError if a GPU is of no use to the model."""
    if device != "cpu" and not model._move(torch.device("cpu")):  # where it is already
        raise ConfigError(
            f"{type(model).__name__} ranks on the CPU: leave num_gpus out",
            parameter="num_gpus",
        )


def check_version(wanted: str) -> None:
    """Raises ConfigError if this process has another version of recae than the job."""
    if wanted != __version__:
        raise ConfigError(
            f"the machine {socket.gethostname()} has recae {__version__}, and the job was started "
            f"with recae {wanted}: install the same version on all machines"
        )


@contextmanager
def computing(threads: int | None) -> Iterator[None]:
    """Lets torch compute with so many threads; None leaves their number."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def here() -> Iterator[None]:
    """Makes any error of another library a DataError that names the machine."""
    try:
        yield
    except RecaeError:
        raise
    except (pa.ArrowException, RuntimeError, OSError, MemoryError) as error:
        raise DataError(
            f"the machine {socket.gethostname()} cannot make lists: {show(str(error))}"
        ) from error
