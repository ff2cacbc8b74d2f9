"""What a training run has reached: everything that its next epoch depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer

from recae.training.callbacks import Epoch


@dataclass
class Best:
    """A copy of the weights of the epoch with the highest validation metric so far.

    since: finished epochs after it. Without validation nothing is kept.
    """

    metric: str
    value: float = float("-inf")
    since: int = 0
    weights: dict[str, Tensor] | None = None

    def update(self, epoch: Epoch, net: nn.Module) -> None:
        """Looks at a finished epoch; a tie is not better."""
        value = epoch.metrics[self.metric]
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

    finished: no epoch is to follow. Batches and noise depend on the seed and the number of the
    epoch only, so that this is all a resumed run needs.
    """

    net: nn.Module
    optimiser: Optimizer
    best: Best
    epochs: list[Epoch] = field(default_factory=list)
    step: int = 0
    finished: bool = False
