"""Training in several processes, as torchrun starts them; see docs/distributed.md."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from recae.errors import (
    ConfigError,
    RecaeWarning,
    TrainingError,
    TrainingInterrupted,
    check_number,
    explained,
)
from recae.nn import Assembled, AutoencoderNet, Ranks, shard_of

_CURRENT: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current_ranks() -> Ranks | None:
    """The processes that train together; None for one process."""
    return _CURRENT.get()


@explained
@contextmanager
def distributed(timeout: float = 1800.0) -> Iterator[Ranks]:
    """Makes `fit` of neural models one training of all the processes that torchrun has started.

    Every process runs the same script with the same data, seed and hyperparameters; `fit` compares
    them first. Each process holds its share of the items of the first and the last layer and sends
    its share of the rows of a batch through the others. The loss curve is that of one process, up
    to rounding. The fitted model is in process 0, whose `save` writes it; in the others `save` does
    nothing, and everything else raises NotFittedError.

    timeout: seconds that a process waits for another one before it ends with TrainingError. A
    process that was killed is noticed at once. The others wait as well while process 0 validates,
    so it must be longer than that. Processes communicate by NCCL where there is a GPU for each, and
    otherwise by gloo. Without torchrun nothing changes.

    An error that `fit` raises in one process ends the connection, also if the script catches it: no
    process waits for one that does not come. To train on, all enter `distributed` again.

    Yields the `Ranks`: `rank`, from 0, `size`, and `wait()` for the others. Raises ConfigError for
    an environment that is not torchrun's and for fewer GPUs than processes, and TrainingError if
    the others are not there.

    >>> with recae.distributed() as ranks:
    ...     model = recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data)
    >>> ranks.rank, ranks.size
    (0, 1)
    """
    wait = check_number("timeout", timeout, above=0)
    known = current_ranks()
    rank, size = _number("RANK", 0), _number("WORLD_SIZE", 1)
    if "RANK" not in os.environ:  # a size alone, as some clusters set it, starts nobody
        size = 1
    elif rank >= size:
        raise ConfigError(
            f"the environment variable RANK is {rank}, and WORLD_SIZE {size}: start with torchrun, "
            "or unset both",
            parameter="RANK",
            value=str(rank),
        )
    if known is not None and not dist.is_initialized():  # an error has parted them
        known = None
    if known is not None or (size == 1 and not dist.is_initialized()):
        yield known or Ranks(timeout=wait)
        return
    with _group(rank, size, wait) as ranks, _terminated(ranks), warnings.catch_warnings():
        if ranks.rank:
            warnings.simplefilter("ignore", RecaeWarning)  # process 0 gives the same
        token = _CURRENT.set(ranks if ranks.size > 1 else None)
        try:
            yield ranks
        finally:
            _CURRENT.reset(token)


@contextmanager
def _terminated(ranks: Ranks) -> Iterator[None]:
    """Gives the signal by which torchrun ends all processes after one of them a message."""

    def end(*given: object) -> None:
        raise TrainingError(
            f"process {ranks.rank} of {ranks.size} was terminated, as torchrun does when another "
            "one has ended: the message of that process, or the list of torchrun, says why. With "
            "the same checkpoint, they, or one process, resume after its last epoch"
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _group(rank: int, size: int, timeout: float) -> Iterator[Ranks]:
    """The processes of torch.distributed, which is begun and ended here unless it runs already."""
    if dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size(), timeout)
        return
    local, here = _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", size)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < here:
        raise ConfigError(
            f"torchrun has started {here} processes on a machine with {gpus} GPUs: start one for "
            "each GPU, or none of them uses a GPU with CUDA_VISIBLE_DEVICES="
        )
    before = torch.cuda.current_device() if gpus else None
    ranks = Ranks(rank, size, timeout, begun=True)
    try:
        if gpus:
            torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        try:
            _begin(backend, rank, size, timedelta(seconds=timeout))
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                f"process {rank} of {size} did not find the others at "
                f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} within "
                f"{timeout:g} s ({' '.join(str(error).split())[:200]}): start it with torchrun"
            ) from error
        yield ranks
    finally:
        ranks.part()
        if before is not None:
            torch.cuda.set_device(before)


def _begin(backend: str, rank: int, size: int, timeout: timedelta) -> None:
    """Begins torch.distributed by the store of torchrun, or of process 0.

    It keeps what an earlier `distributed()` of these processes has written, such as addresses that
    are closed by now. So each one has a prefix of its own.
    """
    place = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT"), rank, size
    if place not in _STORES:
        begin: Any = dist.rendezvous  # type: ignore[attr-defined]
        _STORES[place], *_ = next(begin("env://", rank, size, timeout=timeout))
    store = _STORES[place]
    store.set_timeout(timeout)
    own = dist.PrefixStore(f"recae-{next(_BEGUN)}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=timeout)


_STORES: dict[tuple[Any, ...], Any] = {}
"""The store of each place, kept: if process 0 has it, another process may still read it."""

_BEGUN = count()
"""How many groups this process has begun, which is the same number in all processes."""


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(
            f"the environment variable {name} is {text!r}, and torchrun sets it to a number: start "
            "with torchrun, or unset it",
            parameter=name,
            value=text,
        )
    return int(text)


@contextmanager
def no_process_waits() -> Iterator[None]:
    """Parts the processes if one raises an error: no other one then waits for it in vain."""
    try:
        yield
    except TrainingInterrupted:  # which all of them raise
        raise
    except BaseException:
        ranks = current_ranks()
        if ranks is not None:
            ranks.part()
        raise


def check_alone(what: str) -> None:
    """Raises ConfigError, about `what`, if several processes train together."""
    ranks = current_ranks()
    if ranks is not None:
        raise ConfigError(
            f"{what} runs in one process, and torchrun has started {ranks.size}: start it without "
            "torchrun"
        )


def check_same(ranks: Ranks, about: Mapping[str, Any]) -> None:
    """Raises ConfigError, in every process, unless all of them give the same facts."""
    given = ranks.all_told(dict(about))
    differ = [name for name in about if any(other.get(name) != given[0][name] for other in given)]
    if differ:
        name = differ[0]
        parts = [one.get(name) for one in given]
        if all(isinstance(part, dict) for part in parts):  # of hyperparameters, those that differ
            keys = [
                key for key in parts[0] if any(part.get(key) != parts[0][key] for part in parts)
            ]
            parts = [{key: part.get(key) for key in keys} for part in parts]
        values = "; ".join(f"process {rank}: {part!r}" for rank, part in enumerate(parts))
        raise ConfigError(
            f"the {ranks.size} processes do not fit the same model to the same data: they differ "
            f"in {', '.join(differ)} ({values}): start all of them with the same command",
            parameter=name,
        )


@dataclass
class First:
    """What process 0 does with a network that is whole there.

    here: whether this is process 0; changed: names of the parameters that it has overwritten, which
    all processes know afterwards.
    """

    here: bool
    changed: list[str] = field(default_factory=list)


@contextmanager
def on_first(net: AutoencoderNet, ranks: Ranks | None) -> Iterator[First]:
    """Makes a network whole on process 0 meanwhile, and writes back what that has changed."""
    first = First(ranks is None or ranks.rank == 0)
    if ranks is None:
        yield first
        return
    assembled = Assembled(net, ranks)
    yield first
    first.changed = ranks.told(first.changed)
    assembled.undo(write=bool(first.changed))


class Interrupts:
    """Ctrl-C that ends a training after the same batch or epoch in all processes.

    torchrun and the terminal send it to each of them at another moment. Entered, it is only noted.
    """

    def __init__(self, ranks: Ranks | None) -> None:
        self.ranks, self.noted = ranks, False
        self.before: Any = None

    def __enter__(self) -> Interrupts:
        here = threading.current_thread() is threading.main_thread()
        if self.ranks is not None and here:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *signal: object) -> None:
        self.noted = True

    def after_batch(self, loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
        """The loss of all processes; their gradients are summed. Raises KeyboardInterrupt if it was
        pressed in one of them."""
        if self.ranks is None:
            return loss
        both = torch.stack([loss, torch.full_like(loss, float(self.noted))])
        copies = [parameter for parameter in parameters if shard_of(parameter) is None]
        loss, pressed = self.ranks.summed_gradients(both, copies)
        if bool(pressed):
            raise KeyboardInterrupt
        return loss

    def after_epoch(self) -> None:
        """Raises KeyboardInterrupt if it was pressed in one of the processes since the last batch,
        such as during the validation."""
        if self.ranks is not None and any(self.ranks.all_told(self.noted)):
            raise KeyboardInterrupt
