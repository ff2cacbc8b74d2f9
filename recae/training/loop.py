"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from recae.errors import TrainingError, TrainingInterrupted
from recae.nn import AutoencoderNet, Batch
from recae.rng import Stream, torch_generator
from recae.system.progress import bar
from recae.training.checkpoint import Checkpoint
from recae.training.divergence import starting_loss, warn_if_diverged
from recae.training.loaders.device import on_device
from recae.training.loaders.histories import Loader
from recae.training.objective import Objective
from recae.training.plan import Plan, make_optimiser
from recae.training.state import Best, Callback, Epoch, TrainingState

Validate = Callable[[], Mapping[str, float]]


def train(
    net: AutoencoderNet,
    loader: Loader,
    objective: Objective,
    plan: Plan,
    *,
    seed: int,
    device: torch.device,
    validate: Validate | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    progress: bool | None = None,
    name: str = "training",
) -> list[Epoch]:
    """Trains `net` in place and returns its epochs; the weights left are the best ones.

    With `validate`, the best is the epoch with the highest `plan.metric`, and training ends after
    `plan.patience` epochs without a new best. Without it all epochs run and the last state stays.
    With `checkpoint`, a run that was killed goes on after its last epoch on disk; on the CPU, with
    the same number of threads, to the same bits as an undisturbed run.

    Warns when the loss of the weights that are left is far above that of the untrained network.
    Raises TrainingError when the loss stops being a number, and TrainingInterrupted on Ctrl-C,
    with the best weights in place, once an epoch is finished.
    """
    net.initialise(torch_generator(seed, Stream.WEIGHTS))
    if plan.start is not None:
        plan.start(net)
    net.to(device)
    optimisers = [make_optimiser(net, plan, phase, device) for phase in plan.phases]
    state = TrainingState(net, optimisers, Best(plan.metric, plan.lowest_is_best))
    loader = on_device(loader, device)
    batches = len(loader)
    updates = plan.epochs * batches
    start = starting_loss(net, loader, objective, updates, seed, state.accumulation)
    if checkpoint is not None:
        checkpoint.resume(state)
    with bar(updates, name, "batch", progress) as shown:
        shown.update(len(state.epochs) * batches)
        try:
            while not state.finished:
                number, started = len(state.epochs) + 1, time.perf_counter()
                noise = torch_generator(seed, Stream.NOISE, number, device=device)
                loss = _epoch(state, loader, objective, plan, number, noise, shown)
                metrics = validate() if validate is not None else {}
                epoch = Epoch(number, loss, time.perf_counter() - started, metrics)
                state.epochs.append(epoch)
                if validate is not None:
                    state.best.update(epoch, net)
                shown.set_postfix({"loss": f"{epoch.loss:.4g}"} | _rounded(epoch.metrics))
                wanted = [callback(epoch) for callback in callbacks]
                late = state.best.since >= plan.patience
                state.finished = number == plan.epochs or late or any(wanted)
                if checkpoint is not None:
                    checkpoint.after_epoch(state)
        except KeyboardInterrupt:
            if not state.epochs:
                raise
            state.best.restore(net.eval())
            raise _interrupted(state) from None
    state.best.restore(net.eval())  # a run that was finished on disk has not met eval() yet
    since = state.best.since if state.best.weights is not None else 0
    warn_if_diverged(name, state.epochs[-1 - since], start, plan.lr)
    return state.epochs


def _epoch(
    state: TrainingState,
    loader: Loader,
    objective: Objective,
    plan: Plan,
    number: int,
    noise: torch.Generator,
    shown: Any,
) -> float:
    """One pass over the training users; the mean loss. The network is left in evaluation mode."""
    net, device = state.net, noise.device
    losses = torch.zeros((), dtype=torch.float64, device=device)
    index, first = plan.phase(number)
    phase, optimiser = plan.phases[index], state.optimisers[index]
    if first and phase.start is not None:
        phase.start(net)
    if plan.before_epoch is not None:
        _reset_optimizer_state(state, plan, plan.before_epoch(net, number), device)
    for group in optimiser.param_groups:
        group["lr"] = plan.rate(number)
    net.train()
    net.corrupt.train(phase.corrupt)
    learning = phase.parameters(net)
    with _only(net, learning):
        for count, batch in enumerate(loader.epoch(number), start=1):

            def loss(part: Batch) -> torch.Tensor:
                scores, terms = net(part, noise)
                return objective(scores, terms, part, state.step)

            value = state.accumulation.backward(batch.to(device), loss, learning, noise)
            # A GPU is not asked before the end of the epoch: the question would make it wait.
            if device.type == "cpu":
                _check(float(value), f"batch {count} of epoch {number}", plan)
            optimiser.step()
            losses += value
            state.step += 1
            shown.update()
    net.eval()
    mean = float(losses / len(loader))
    _check(mean, f"epoch {number}", plan)
    # The last update may have broken what the loss before it did not show yet.
    if not all(bool(weights.isfinite().all()) for weights in net.parameters()):
        _check(math.nan, f"the last update of epoch {number}", plan)
    return mean


def _reset_optimizer_state(
    state: TrainingState,
    plan: Plan,
    parameters: Sequence[torch.nn.Parameter],
    device: torch.device,
) -> None:
    """Resets the optimisers' moments of these parameters to their initial values."""
    if not parameters:
        return
    for phase, optimiser in zip(plan.phases, state.optimisers, strict=True):
        fresh = make_optimiser(state.net, plan, phase, device)
        for parameter in parameters:
            optimiser.state.pop(parameter, None)
            if parameter in fresh.state:  # AdaGrad begins with something
                optimiser.state[parameter] = fresh.state[parameter]


@contextmanager
def _only(net: torch.nn.Module, learning: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Gradients for these parameters alone; the others cost nothing."""
    wanted = {id(p) for p in learning}
    resting = [p for p in net.parameters() if p.requires_grad and id(p) not in wanted]
    for parameter in resting:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in resting:
            parameter.requires_grad_(True)


def _check(loss: float, where: str, plan: Plan) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in {where}: lower lr (now {plan.lr}), or look for extreme "
            "weights in the data if they reach the model"
        )


def _interrupted(state: TrainingState) -> TrainingInterrupted:
    done = len(state.epochs)
    if state.best.weights is None:
        kept = "its weights as they were then"
    else:
        kept = f"the best, of epoch {done - state.best.since}"
    return TrainingInterrupted(
        f"interrupted after {done} epochs; the model keeps {kept}", state.epochs
    )


def _rounded(metrics: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in metrics.items()}
