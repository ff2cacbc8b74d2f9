"""What a training run has reached: everything that its next epoch depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from recae.errors import ConfigError
from recae.nn import AutoencoderNet
from recae.training.accumulate import Accumulation


@dataclass(frozen=True)
class Epoch:
    """One finished epoch: its number from 1, mean training loss, seconds, validation metrics."""

    number: int
    loss: float
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


Callback = Callable[[Epoch], "bool | None"]
"""Called after every epoch; returning True ends the training (the best state is still kept)."""


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """One callback or several as a tuple. Raises ConfigError for what cannot be called."""
    several = isinstance(callbacks, Iterable) and not callable(callbacks)
    found = tuple(callbacks) if several else (callbacks,)
    for callback in found:
        if not callable(callback):
            raise ConfigError(f"callbacks must be functions of an Epoch, not {callback!r}")
    return found


@dataclass
class Best:
    """A copy of the weights of the epoch with the best validation metric so far.

    lowest: best is the lowest, not the highest; value: the best, times -1 then; since: finished
    epochs after it. Without validation nothing is kept.
    """

    metric: str
    lowest: bool = False
    value: float = float("-inf")
    since: int = 0
    weights: dict[str, Tensor] | None = None

    def update(self, epoch: Epoch, net: nn.Module) -> None:
        """Looks at a finished epoch; a tie is not better."""
        value = -epoch.metrics[self.metric] if self.lowest else epoch.metrics[self.metric]
        if value > self.value:
            self.value, self.since = value, 0
            self.weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        else:
            self.since += 1

    def restore(self, net: nn.Module) -> None:
        """Puts the best weights back, if any were kept."""
        if self.weights is not None:
            net.load_state_dict(self.weights)


@dataclass
class TrainingState:
    """A network, its optimiser, its best weights, the finished epochs and the updates made.

    finished: no epoch is to follow; accumulation: how much of a batch fits in memory, by which
    noise is drawn in parts. Batches and noise depend on the seed and the number of the epoch only:
    this is all a resumed run needs.
    """

    net: AutoencoderNet
    optimisers: list[Optimizer]  # one a phase
    best: Best
    epochs: list[Epoch] = field(default_factory=list)
    step: int = 0
    finished: bool = False
    accumulation: Accumulation = field(default_factory=Accumulation)

    # What a checkpoint asks for.

    @property
    def device(self) -> str:
        return next(self.net.parameters()).device.type

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for name, tensor in (self.best.weights or {}).items():
            tensors[f"best.{name}"] = tensor
        for number, optimiser in enumerate(self.optimisers):
            for index, moments in optimiser.state_dict()["state"].items():
                for name, tensor in moments.items():
                    tensors[f"optimiser.{number}.{index}.{name}"] = tensor
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def progress(self) -> dict[str, Any]:
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "step": self.step,
            "finished": self.finished,
            "rows": self.accumulation.rows,
            "best": {"value": self.best.value, "since": self.best.since},
        }

    def put(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        def under(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        device = next(self.net.parameters()).device
        self.net.load_state_dict(under("net."))
        for number, optimiser in enumerate(self.optimisers):
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in under(f"optimiser.{number}.").items():
                index, _, moment = name.partition(".")
                moments.setdefault(int(index), {})[moment] = tensor
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
        best = {name: tensor.to(device) for name, tensor in under("best.").items()}
        self.best.weights = best or None
        self.best.value, self.best.since = progress["best"]["value"], progress["best"]["since"]
        self.epochs[:] = [Epoch(**epoch) for epoch in progress["epochs"]]
        self.step, self.finished = progress["step"], progress["finished"]
        self.accumulation.rows = progress.get("rows")  # earlier versions had no such number
