"""The training loop and its state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recae.errors import TrainingError, TrainingInterrupted
from recae.nn import Assembled, AutoencoderNet, Batch, Ranks, Shard, shard_of
from recae.nn.later import formed_later, wide_weights
from recae.rng import Stream, check_seed, torch_generator
from recae.system.progress import bar, check_progress, say
from recae.system.rounding import full_sums
from recae.training.batches import Loader
from recae.training.checkpoint import Checkpoint
from recae.training.convergence import starting_loss, warn_if_diverged
from recae.training.device import on_device, resolve_device
from recae.training.epoch import Callback, Epoch
from recae.training.graph import Graphs, graphs
from recae.training.jobs import check_callbacks, trackers_of
from recae.training.objective import Accumulation, Objective, forgotten
from recae.training.optimisers import Optimiser
from recae.training.plan import Plan, make_optimiser
from recae.training.several import Interrupts, check_same, current_ranks, on_first


@dataclass(frozen=True)
class Run:
    """The options of one fit that shape how it runs, not what the model is."""

    seed: int = 0
    device: torch.device = torch.device("cpu")
    ranks: Ranks | None = None  # the processes that train together
    callbacks: Sequence[Callback] = ()
    progress: bool | None = None
    checkpoint: str | Path | None = None

    @classmethod
    def checked(
        cls,
        seed: int,
        device: str | torch.device,
        callbacks: Any,
        progress: bool | None,
        checkpoint: str | Path | None,
    ) -> Run:
        """The options as `fit` takes them. Raises ConfigError for a bad one."""
        called = check_callbacks(callbacks)
        check_progress(progress)
        found, ranks = resolve_device(device), current_ranks()
        if ranks is not None and found.type == "cuda":
            found = torch.device("cuda", torch.cuda.current_device())
        if ranks is not None and ranks.rank:  # process 0 reports
            called, progress = (), False
        return cls(check_seed(seed), found, ranks, called, progress, checkpoint)


@dataclass
class Best:
    """A copy of the weights of the epoch with the best validation metric so far.

    lowest: the lowest value is the best; value: the best so far, times -1 if lowest; since: the
    number of epochs finished after it. Without validation no copy is kept.
    """

    metric: str
    lowest: bool = False
    value: float = float("-inf")
    since: int = 0
    weights: dict[str, Tensor] | None = None

    def update(self, epoch: Epoch, net: nn.Module) -> None:
        """Keeps the weights if the epoch is better than the best so far; a tie is not better."""
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
    """Everything that the next epoch of a training depends on.

    finished: no epoch follows; accumulation: how much of a batch fits in memory, which decides in
    which parts noise is drawn. Batches and noise depend only on the seed and the number of the
    epoch, so a resumed run needs nothing else.
    """

    net: AutoencoderNet
    optimisers: list[Optimiser]  # one a phase
    best: Best
    epochs: list[Epoch] = field(default_factory=list)
    step: int = 0
    finished: bool = False
    accumulation: Accumulation = field(default_factory=Accumulation)
    graphs: Graphs | None = None

    def restore_best(self) -> None:
        """Puts the best weights back; where several processes train, process 0 then has all."""
        self.best.restore(self.net.eval())  # a resumed run that was finished has not called eval()
        if self.accumulation.ranks is not None:
            Assembled(self.net, self.accumulation.ranks)

    # The interface of `Checkpoint`.

    def shard(self, name: str, shape: Sequence[int]) -> Shard | None:
        """The items that this process holds of a tensor with the name and the full shape."""
        kind, _, rest = name.partition(".")
        if kind == "optimiser":
            number, index, _ = rest.split(".", 2)
            parameter: Any = self.optimisers[int(number)].parameters[int(index)]
        else:
            parameter = dict(self.net.named_parameters()).get(rest)
        if parameter is None or len(shape) != parameter.dim():
            return None
        return shard_of(parameter)

    @property
    def device(self) -> str:
        return next(self.net.parameters()).device.type

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for name, tensor in (self.best.weights or {}).items():
            tensors[f"best.{name}"] = tensor
        for number, optimiser in enumerate(self.optimisers):
            for index, moments in optimiser.moments().items():
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
        """Sets network, optimisers, best weights and progress to those of a checkpoint."""

        def under(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        device = next(self.net.parameters()).device
        self.net.load_state_dict(under("net."))
        for number, optimiser in enumerate(self.optimisers):
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in under(f"optimiser.{number}.").items():
                index, _, moment = name.partition(".")
                moments.setdefault(int(index), {})[moment] = tensor
            optimiser.put(moments)
        best = {name: tensor.to(device) for name, tensor in under("best.").items()}
        self.best.weights = best or None
        self.best.value, self.best.since = progress["best"]["value"], progress["best"]["since"]
        self.epochs[:] = [Epoch(**epoch) for epoch in progress["epochs"]]
        self.step, self.finished = progress["step"], progress["finished"]
        self.accumulation.rows = progress.get("rows")  # earlier versions had no such number


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
    ranks: Ranks | None = None,
) -> list[Epoch]:
    """Trains `net` in place, restores its best weights, and returns the epochs.

    With `validate`, the best epoch is the one with the highest `plan.metric`, and training stops
    early after `plan.patience` epochs without a new best. Without it all epochs run and the last
    weights stay. With `ranks`, their processes train together: each has its items of the wide
    layers and its rows of a batch; see `docs/distributed.md`. Process 0 validates, writes the
    checkpoint and calls the callbacks, and it alone has the trained network, on the CPU.

    With `checkpoint`, a run that was killed resumes after the last epoch on disk. On
    the CPU, with the same number of threads, it ends in the same bits as an uninterrupted run.

    Warns if the loss of the restored weights is far above that of the untrained network. Raises
    TrainingError if the loss is not finite. Raises TrainingInterrupted on Ctrl-C, with the best
    weights restored, if an epoch is finished.
    """
    net.ranks = ranks
    net.initialise(torch_generator(seed, Stream.WEIGHTS))
    net.to(device)
    optimisers = [make_optimiser(net, plan, phase) for phase in plan.phases]
    state = TrainingState(net, optimisers, Best(plan.metric, plan.lowest_is_best))
    state.accumulation.ranks = ranks
    loader = on_device(loader, device)
    batches = len(loader)
    updates = plan.epochs * batches
    start = starting_loss(net, loader, objective, updates, seed, state.accumulation)
    if plan.start is not None:  # which may begin at the optimum, or above the loss as drawn
        with on_first(net, ranks) as first:
            if first.here:
                plan.start(net.to("cpu"))
                first.changed.append("all")
        net.to(device)
        started = starting_loss(net, loader, objective, updates, seed, state.accumulation)
        start = max(start, started)
    if checkpoint is not None:
        checkpoint.resume(state)
    state.graphs = graphs(net, loader, objective, plan.epochs, state.accumulation)
    before = len(state.epochs)
    if checkpoint is not None and before:
        say(f"{name}: resumed after epoch {before} of {plan.epochs}, {checkpoint.path}", progress)
        for tracker in trackers_of(callbacks):  # a run of its own, which has no epoch yet
            for epoch in state.epochs:
                tracker(epoch)
    if ranks is not None:
        check_same(ranks, {"epochs in the checkpoint": before})
    shown = bar(updates, name, "batch", progress, initial=before * batches)
    with shown as progress_bar, Interrupts(ranks) as interrupts, full_sums(device):
        try:
            while not state.finished:
                number, started = len(state.epochs) + 1, time.perf_counter()
                noise = torch_generator(seed, Stream.NOISE, number, device=device)
                loss = _epoch(
                    state, loader, objective, plan, number, noise, progress_bar, interrupts
                )
                metrics: Mapping[str, float] = {}
                if validate is not None:
                    with on_first(net, ranks) as first:
                        metrics = validate() if first.here else {}
                epoch = Epoch(number, loss, time.perf_counter() - started, metrics)
                epoch = epoch if ranks is None else ranks.told(epoch)
                state.epochs.append(epoch)
                if validate is not None:
                    state.best.update(epoch, net)
                measured = {name: f"{value:.4f}" for name, value in epoch.metrics.items()}
                progress_bar.set_postfix({"loss": f"{loss:.4g}"} | measured)
                ends = any([callback(epoch) for callback in callbacks])
                ends = ends if ranks is None else ranks.told(ends)
                late = state.best.since >= plan.patience
                state.finished = number == plan.epochs or late or ends
                if checkpoint is not None:
                    checkpoint.after_epoch(state)
                interrupts.after_epoch()
        except KeyboardInterrupt:
            if not state.epochs:
                raise
            state.restore_best()
            raise _interrupted(state) from None
    state.restore_best()
    since = state.best.since if state.best.weights is not None else 0
    kept = state.epochs[-1 - since]
    warn_if_diverged(name, kept.loss, kept.number, start, plan.lr)
    return state.epochs


def _epoch(
    state: TrainingState,
    loader: Loader,
    objective: Objective,
    plan: Plan,
    number: int,
    noise: torch.Generator,
    progress_bar: Any,
    interrupts: Interrupts,
) -> float:
    """One pass over the training users; the mean loss. The network is left in evaluation mode."""
    net, device, ranks = state.net, noise.device, interrupts.ranks
    losses = torch.zeros((), dtype=torch.float64, device=device)
    index, begins = plan.phase(number)
    phase, optimiser = plan.phases[index], state.optimisers[index]
    if begins and phase.start is not None:
        phase.start(net)
    if plan.before_epoch is not None:
        with on_first(net, ranks) as first:
            if first.here:
                changed = {id(parameter) for parameter in plan.before_epoch(net, number)}
                first.changed += [n for n, p in net.named_parameters() if id(p) in changed]
        for name in first.changed:
            for each in state.optimisers:
                each.state.pop(net.get_parameter(name), None)  # its moments begin again
    optimiser.lr = plan.rate(number)
    net.train()
    net.corrupt.train(phase.corrupt)
    learning = phase.parameters(net)
    alone = device.type == "cpu" and ranks is None  # processes add up their gradients whole
    later = wide_weights(net) if alone and optimiser.takes_rows else []
    if state.graphs is not None:
        state.graphs.begin(noise)
    with _only(net, learning), formed_later(later), forgotten(learning):
        for count, batch in enumerate(loader.epoch(number), start=1):

            def loss(part: Batch) -> torch.Tensor:
                part = part if ranks is None else replace(part, ranks=ranks)
                scores, terms = net(part, noise)
                return objective(scores, terms, part, state.step)

            batch = batch.to(device)
            if state.graphs is not None:
                value = state.graphs.backward(batch, state.step, learning)
            else:
                value = state.accumulation.backward(batch, loss, learning, noise)
            value = interrupts.after_batch(value, learning)
            # Reading the loss would make a GPU wait, so there it is checked after the epoch.
            if device.type == "cpu":
                _check(float(value), f"batch {count} of epoch {number}", plan)
            optimiser.step()
            losses += value
            state.step += 1
            progress_bar.update()
    net.eval()
    mean = float(losses / len(loader))
    _check(mean, f"epoch {number}", plan)
    # The last update may have made weights infinite, which no loss has shown yet.
    finite = _finite(net)
    if not (finite if ranks is None else all(ranks.all_told(finite))):
        _check(math.nan, f"the last update of epoch {number}", plan)
    return mean


@contextmanager
def _only(net: torch.nn.Module, learning: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Disables the gradients of all other parameters."""
    wanted = {id(p) for p in learning}
    resting = [p for p in net.parameters() if p.requires_grad and id(p) not in wanted]
    for parameter in resting:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in resting:
            parameter.requires_grad_(True)


def _finite(net: torch.nn.Module) -> bool:
    """Whether all weights are finite. NaN shows in minima and maxima, which need no copy."""
    with torch.no_grad():
        ends = [each for w in net.parameters() if w.numel() for each in w.aminmax()]
        return bool(torch.stack(ends).isfinite().all())


def _check(loss: float, where: str, plan: Plan) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in {where}: lower lr (now {plan.lr}), or look for extreme "
            "weights in the data if they reach the model"
        )


def _interrupted(state: TrainingState) -> TrainingInterrupted:
    done = len(state.epochs)
    if state.best.weights is None:
        kept = "its last weights"
    else:
        kept = f"the best weights, of epoch {done - state.best.since}"
    return TrainingInterrupted(
        f"interrupted after {done} epochs; the model keeps {kept}", state.epochs
    )
