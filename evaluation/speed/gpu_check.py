"""Whether a GPU computes what the CPU computes, for `python -m evaluation.speed gpu`.

Every check gives numbers and the most that they may be; None for a number that is only told. A
check that fails counts as missed, and the others go on.
"""

from __future__ import annotations

import gc
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scipy.sparse as sp
import torch

import recae
from evaluation.speed.gpu_chip import synthetic
from recae.training import Epoch, graph
from recae.training.optimisers import OPTIMISERS

Found = dict[str, tuple[float, float | None]]
"""What was compared -> the number found, and the most that it may be."""
EPOCHS, STOPPED = 5, 2
"""Epochs of ten steps, and the epoch after which a fit is killed."""
LIST, PLACES = 20, (0, 5, 700)
"""The length of lists, and the rows that are also scored by themselves."""
WIDE = (2_000, 1_500, 60_000)
"""Users, items and interactions whose batch is much larger than what an allocator rounds up to."""
MODELS = tuple(name for name, kind in recae.MODELS.items() if kind.uses_device)


def checks(device: torch.device, matrix: sp.csr_matrix, found: Found) -> None:
    """Adds all checks to `found`, on some users of a matrix, and tells each as it ends."""
    data = recae.Interactions.from_csr(matrix)
    for name, check in _all(device, data):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", recae.RecaeWarning)
                new = check()
        except Exception as error:
            new = {f"{name}: {type(error).__name__}: {error}": (float("inf"), 0.0)}
        tell(new)
        found |= new


def _all(
    device: torch.device, data: recae.Interactions
) -> Iterator[tuple[str, Callable[[], Found]]]:
    for optimiser in OPTIMISERS:
        yield f"losses, {optimiser}", partial(losses, device, data, optimiser)
    for name in MODELS:
        yield f"scores, {name}", partial(scores, device, data, name)
    yield "a row by itself", partial(places, device, data)
    for name in ("mult-vae", "rec-vae", "elsa"):
        yield f"two fits, {name}", partial(bits, device, data, name)
    yield "two fits, sampled", partial(bits, device, data, "mult-vae", softmax="sampled")
    yield "a resumed fit", partial(resumed, device, data)
    if device.type == "cuda":
        yield "waits", partial(waits, device, data)
        for name in ("mult-vae", "mult-dae", "rec-vae"):
            yield f"replayed steps, {name}", partial(replayed, device, data, name)
        yield "a batch that is cut", partial(cut, device)


def losses(device: torch.device, data: recae.Interactions, optimiser: str) -> Found:
    """Losses of epochs without noise, here and there: 50 steps."""
    model = recae.MultDAE(
        latent=16,
        dropout=0.0,
        epochs=EPOCHS,
        batch_size=-(-data.n_users // 10),
        optimiser=optimiser,
        precision="float32",
    )
    here, there = (
        [epoch.loss for epoch in _fitted(model, data, where).epochs_]
        for where in (torch.device("cpu"), device)
    )
    return {f"losses of 50 steps, {optimiser}": (_apart(there, here), 1e-4)}


def scores(device: torch.device, data: recae.Interactions, name: str) -> Found:
    """Scores and lists of a model fitted here and moved there, or, a closed form, fitted there."""
    kind = recae.MODELS[name]
    model = kind(**kind.small)
    if "precision" in model.get_params():
        model.set_params(precision="float32")
    here = _fitted(model, data, torch.device("cpu"))
    expected, lists = here.score(data), here.recommend_array(data, k=LIST).items
    there = _fitted(model, data, device)  # a neural model has noise of its own there
    if not np.isfinite(there.score(data)).all():
        raise ArithmeticError("scores of a fit there are not finite")
    if issubclass(kind, recae.models.NeuralRecommender):
        there = here.to(device)
    equal = (there.recommend_array(data, k=LIST).items == lists).mean()
    return {
        f"scores, {name}": (_apart(there.score(data), expected), 1e-3),
        f"places of lists that differ, {name}": (float(1 - equal), None),
    }


def places(device: torch.device, data: recae.Interactions) -> Found:
    """Scores of a row by itself and at some places of a batch."""
    kind = recae.MODELS["mult-vae"]
    model = _fitted(kind(**kind.small), data, device)
    whole = model.score(data)
    apart = [
        _apart(model.score(data.select_users([at])), whole[[at]])
        for at in PLACES
        if at < len(whole)
    ]
    return {"scores of a row by itself": (max(apart), 1e-5)}


def bits(device: torch.device, data: recae.Interactions, name: str, **settings: Any) -> Found:
    """Scores of two fits with one seed."""
    kind = recae.MODELS[name]
    model = kind(**kind.small | settings)
    one, two = (_fitted(model, data, device).score(data) for _ in range(2))
    about = ", ".join([name, *settings.values()])
    return {f"scores of two fits with one seed, {about}": (_apart(one, two), None)}


def resumed(device: torch.device, data: recae.Interactions) -> Found:
    """Losses of a killed and resumed fit, and of one that was not killed."""
    trained = []

    def killed(epoch: Epoch) -> None:
        if epoch.number == STOPPED:
            raise KeyboardInterrupt

    model = recae.MultVAE(latent=16, hidden=(64,), epochs=4, precision="float32")
    whole = [epoch.loss for epoch in _fitted(model, data, device).epochs_]
    again = model.clone()
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"checkpoint": Path(folder) / "state", "device": device}
        try:
            again.fit(data, callbacks=killed, progress=False, **options)
        except KeyboardInterrupt:
            again.fit(data, callbacks=trained.append, progress=False, **options)
    return {
        "losses after a kill": (_apart([epoch.loss for epoch in again.epochs_], whole), 1e-4),
        "epochs after a kill": (float(len(trained) or np.inf), float(len(whole) - STOPPED + 1)),
    }


def waits(device: torch.device, data: recae.Interactions) -> Found:
    """How often the host waits for the GPU in an epoch of five batches, as CUDA counts it."""

    def counted(run: Callable[[], object]) -> int:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                run()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("called a synchronizing" in str(one.message) for one in seen)

    def training(epochs: int) -> int:
        model = recae.MultVAE(latent=16, hidden=(64,), epochs=epochs)
        model.set_params(batch_size=-(-data.n_users // 5))
        return counted(lambda: _fitted(model, data, device))

    if not counted(lambda: torch.ones(1, device=device).item()):
        raise AssertionError("CUDA does not tell of a wait that is there")
    return {"waits of an epoch, mult-vae": ((training(3) - training(1)) / 2, 2.0)}


@contextmanager
def graphs_from(steps: int) -> Iterator[None]:
    """Trainings of at least so many steps are replayed as CUDA graphs."""
    with mock.patch.object(graph, "FEWEST", steps):
        yield


def replayed(device: torch.device, data: recae.Interactions, name: str) -> Found:
    """Losses and scores of steps that are replayed as a CUDA graph, and of steps that are not.

    Without dropout, which draws other numbers for padded batches. A fit that gives up its graphs
    fails here, because its warning is an error.
    """
    kind, replay, replays = recae.MODELS[name], torch.cuda.CUDAGraph.replay, []
    size = data.n_users // 10
    model = kind(**kind.small | {"dropout": 0.0, "epochs": EPOCHS, "batch_size": size})
    model.set_params(precision="float32")

    def counted(captured: torch.cuda.CUDAGraph) -> None:
        replays.append(captured)
        replay(captured)

    with mock.patch.object(torch.cuda.CUDAGraph, "replay", counted), warnings.catch_warnings():
        warnings.simplefilter("error", recae.RecaeWarning)
        with graphs_from(1):
            one = _fitted(model, data, device)
    if not replays:
        raise AssertionError("no step was replayed")
    with graphs_from(10**9):
        two = _fitted(model, data, device)
    ours, theirs = ([epoch.loss for epoch in each.epochs_] for each in (one, two))
    return {
        f"losses of replayed steps, {name}": (_apart(ours, theirs), 1e-4),
        f"scores after replayed steps, {name}": (_apart(one.score(data), two.score(data)), 1e-2),
        f"replays a batch, {name}": (len(replays) / (EPOCHS * (data.n_users // size)), None),
    }


def cut(device: torch.device) -> Found:
    """The loss of an epoch without the memory for its one batch, and with enough."""
    data = recae.Interactions.from_csr(synthetic(*WIDE))
    gpu = torch.cuda.current_device() if device.index is None else device.index
    model = recae.MultDAE(latent=16, dropout=0.0, epochs=1, precision="float32")
    peaks, loss = [], 0.0
    for share in (4, 1):  # a quarter of the users in a batch, and all
        model.set_params(batch_size=-(-data.n_users // share))
        _emptied()
        torch.cuda.reset_peak_memory_stats(gpu)
        loss = _fitted(model, data, device).epochs_[0].loss
        peaks.append(torch.cuda.max_memory_reserved(gpu))
    _emptied()
    total = torch.cuda.get_device_properties(gpu).total_memory
    torch.cuda.set_per_process_memory_fraction(sum(peaks) / 2 / total, gpu)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = _fitted(model, data, device).epochs_[0].loss
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    told = [one for one in seen if issubclass(one.category, recae.RecaeWarning)]
    if not any("accumulated" in str(one.message) for one in told):
        raise AssertionError("the batch was not cut")
    return {"loss of a batch that is cut": (_apart([found], [loss]), 1e-4)}


def _emptied() -> None:
    gc.collect()
    torch.cuda.empty_cache()


def _fitted(model: recae.Recommender, data: recae.Interactions, device: torch.device) -> Any:
    return model.clone().fit(data, device=device, seed=0, progress=False)


def _apart(found: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest number; inf for what is not finite."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def missed(found: Found) -> Sequence[str]:
    """The checks whose number is too large."""
    return [name for name, (value, most) in found.items() if most is not None and not value <= most]


def tell(found: Found) -> None:
    """Prints every number in a line."""
    for name, (value, most) in found.items():
        wanted = "" if most is None else f"at most {most:.3g}"
        wrong = "  MISSED" if missed({name: (value, most)}) else ""
        print(f"  {name:<52}{value:>10.2g}  {wanted}{wrong}", flush=True)
