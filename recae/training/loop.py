"""The one training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recae.errors import TrainingError
from recae.nn import AutoencoderNet
from recae.objective import Objective
from recae.rng import torch_generator
from recae.training.callbacks import Callback, Epoch
from recae.training.loader import SparseLoader
from recae.training.progress import bar

WEIGHTS_STREAM, NOISE_STREAM = 2, 3

Validate = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    epochs: at most; lr: Adam's learning rate; l2: the loss gains l2 * (sum of squared weights,
    biases not counted); metric: the validation metric to maximise; patience: epochs without a new
    best before stopping.
    """

    epochs: int
    lr: float
    l2: float
    metric: str
    patience: int


def train(
    net: AutoencoderNet,
    loader: SparseLoader,
    objective: Objective,
    plan: Plan,
    *,
    seed: int,
    device: torch.device,
    validate: Validate | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    name: str = "training",
) -> list[Epoch]:
    """Trains `net` in place and returns its epochs; the weights left are the best ones.

    With `validate`, the best is the epoch with the highest `plan.metric`, and training ends after
    `plan.patience` epochs without a new best. Without it all epochs run and the last state stays.
    Raises TrainingError when the loss stops being a number.
    """
    net.initialise(torch_generator(seed, WEIGHTS_STREAM))
    net.to(device)
    optimiser = _adam(net, plan, device)
    best = _Best(plan.metric)
    epochs: list[Epoch] = []
    step = 0
    with bar(plan.epochs * len(loader), name, "batch", progress) as shown:
        for number in range(1, plan.epochs + 1):
            started = time.perf_counter()
            noise = torch_generator(seed, NOISE_STREAM, number, device=device)
            losses = torch.zeros((), dtype=torch.float64, device=device)
            net.train()
            for batch in loader.epoch(number):
                batch = batch.to(device)
                scores, terms = net(batch, noise)
                loss = objective(scores, terms, batch, step)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses += loss.detach()
                step += 1
                shown.update()
            net.eval()
            epoch = _finish(number, losses / len(loader), started, validate, plan)
            epochs.append(epoch)
            shown.set_postfix({"loss": f"{epoch.loss:.4g}"} | _rounded(epoch.metrics))
            stop = [callback(epoch) for callback in callbacks]
            if validate is not None and best.update(epoch, net) >= plan.patience:
                break
            if any(stop):
                break
    best.restore(net)
    return epochs


def _adam(net: nn.Module, plan: Plan, device: torch.device) -> torch.optim.Adam:
    """Fused Adam; `l2` as Adam's coupled weight decay, which is that term's exact gradient."""
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": 2 * plan.l2},
        {"params": vectors},
    ]
    return torch.optim.Adam(groups, lr=plan.lr, fused=device.type in ("cpu", "cuda"))


def _finish(
    number: int, loss: Tensor, started: float, validate: Validate | None, plan: Plan
) -> Epoch:
    mean = float(loss)
    if mean != mean or mean in (float("inf"), float("-inf")):
        raise TrainingError(
            f"the loss became {mean} in epoch {number}: lower lr (now {plan.lr}), or look for "
            "extreme weights in the data if they reach the model"
        )
    metrics = validate() if validate is not None else {}
    return Epoch(number, mean, time.perf_counter() - started, metrics)


def _rounded(metrics: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in metrics.items()}


class _Best:
    """Keeps a copy of the weights of the best epoch so far."""

    def __init__(self, metric: str) -> None:
        self.metric, self.value, self.since = metric, float("-inf"), 0
        self.state: dict[str, Tensor] | None = None

    def update(self, epoch: Epoch, net: nn.Module) -> int:
        """Looks at a finished epoch; returns how many have passed since the best one."""
        value = epoch.metrics[self.metric]
        if value > self.value:
            self.value, self.since = value, 0
            self.state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        else:
            self.since += 1
        return self.since

    def restore(self, net: nn.Module) -> None:
        """Puts the best weights back, if any were kept."""
        if self.state is not None:
            net.load_state_dict(self.state)
