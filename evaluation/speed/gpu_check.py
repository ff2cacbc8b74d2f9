"""Whether a GPU computes what the CPU computes, for `python -m evaluation.speed gpu`.

Every check is a number and the most that it may be; None for a number that is only told.
"""

from __future__ import annotations

import gc
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

import recae
from recae.training import Epoch
from recae.training.optimisers import OPTIMISERS

Found = dict[str, tuple[float, float | None]]
"""Check -> the number found, and the most that it may be."""
EPOCHS, LIST, PLACES = 5, 20, (0, 5, 700)


def checks(device: torch.device, matrix: sp.csr_matrix) -> Found:
    """All checks, on some users of a matrix, (users, items)."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as name:
        warnings.simplefilter("ignore", recae.RecaeWarning)
        data = recae.Interactions.from_csr(matrix)
        found = losses(device, data) | scores(device, data) | bits(device, data)
        found |= resumed(device, data, Path(name))
        if device.type == "cuda":
            found |= waits(data) | cut(data)
        return found


def losses(device: torch.device, data: recae.Interactions) -> Found:
    """Losses of epochs without noise, here and there, for each optimiser: 50 steps."""
    found: Found = {}
    size = -(-data.n_users // 10)
    for optimiser in OPTIMISERS:
        model = recae.MultDAE(
            latent=16, dropout=0.0, epochs=EPOCHS, batch_size=size, optimiser=optimiser
        ).set_params(precision="float32")
        here, there = (
            np.array([epoch.loss for epoch in _fitted(model, data, where).epochs_])
            for where in (torch.device("cpu"), device)
        )
        found[f"losses of 50 steps, {optimiser}"] = (_apart(there, here), 1e-4)
    return found


def scores(
    device: torch.device, data: recae.Interactions, names: Sequence[str] = tuple(recae.MODELS)
) -> Found:
    """Scores and lists of models: fitted here and moved, or, closed forms, fitted there."""
    found: Found = {}
    rows = data.select_users(np.arange(min(832, data.n_users)))
    for name in names:
        kind = recae.MODELS[name]
        if not kind.uses_device:
            continue
        model = kind(**kind.small)
        if "precision" in model.get_params():
            model.set_params(precision="float32")
        here = _fitted(model, data, torch.device("cpu"))
        expected, lists = here.score(rows), here.recommend_array(rows, k=LIST).items
        there = _fitted(model, data, device)  # runs at least, with noise of its own
        if not np.isfinite(there.score(rows)).all():
            raise ArithmeticError(f"{name}: scores of a fit on {device} are not finite")
        if issubclass(kind, recae.models.NeuralRecommender):
            there = here.to(device)
        found[f"scores, {name}"] = (_apart(there.score(rows), expected), 1e-3)
        equal = (there.recommend_array(rows, k=LIST).items == lists).mean()
        found[f"places of lists that differ, {name}"] = (float(1 - equal), None)
        if name == "mult-vae":
            found["a row by itself and in a tile"] = (_places(there, rows), 1e-5)
    return found


def _places(model: recae.Recommender, rows: recae.Interactions) -> float:
    """How far the scores of a row alone are from those at some places of a batch."""
    whole = model.score(rows)
    places = [place for place in PLACES if place < len(whole)]
    return max(_apart(model.score(rows.select_users([at])), whole[[at]]) for at in places)


def bits(device: torch.device, data: recae.Interactions) -> Found:
    """How far the scores of two fits with one seed are apart."""
    found: Found = {}
    for name, settings in {
        "mult-vae": {},
        "rec-vae": {},
        "elsa": {},
        "mult-vae, sampled": {"softmax": "sampled", "num_sampled": 100},
    }.items():
        kind = recae.MODELS[name.partition(",")[0]]
        model = kind(**kind.small | settings)
        one, two = (_fitted(model, data, device).score(data) for _ in range(2))
        found[f"two fits with one seed, {name}"] = (_apart(one, two), None)
    return found


def resumed(device: torch.device, data: recae.Interactions, folder: Path) -> Found:
    """How far the losses of a killed and resumed fit are from those of one that was not."""

    def killed(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    model = recae.MultVAE(latent=16, hidden=(64,), epochs=4, precision="float32")
    whole = [epoch.loss for epoch in _fitted(model, data, device).epochs_]
    again = model.clone()
    options: dict[str, Any] = {"checkpoint": folder / "state", "device": device}
    try:
        again.fit(data, callbacks=killed, progress=False, **options)
    except KeyboardInterrupt:
        again.fit(data, progress=False, **options)
    found = [epoch.loss for epoch in again.epochs_]
    return {"losses after a kill": (_apart(np.array(found), np.array(whole)), 1e-4)}


def waits(data: recae.Interactions) -> Found:
    """How often the host waits for the GPU in one batch more of Mult-VAE, as CUDA counts it."""
    counts = []
    for batches in (1, 5):
        model = recae.MultVAE(latent=16, hidden=(64,), epochs=1)
        model.set_params(batch_size=-(-data.n_users // batches))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                _fitted(model, data, torch.device("cuda"))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        counts.append(sum("synchroniz" in str(one.message) for one in seen))
    return {"waits of a batch, mult-vae": ((counts[1] - counts[0]) / 4, 0.0)}


def cut(data: recae.Interactions) -> Found:
    """The loss of an epoch without the memory for it, beside that with enough."""
    device, gpu = torch.device("cuda"), torch.cuda.current_device()
    model = recae.MultDAE(latent=16, dropout=0.0, epochs=1, precision="float32")
    peaks, loss = [], 0.0
    for share in (4, 1):  # a quarter of the users in a batch, and all
        model.set_params(batch_size=-(-data.n_users // share))
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(gpu)
        loss = _fitted(model, data, device).epochs_[0].loss
        peaks.append(torch.cuda.max_memory_reserved(gpu))
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(gpu).total_memory
    torch.cuda.set_per_process_memory_fraction(sum(peaks) / 2 / total, gpu)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = _fitted(model, data, device).epochs_[0].loss
        except recae.errors.CapacityError:
            found = float("nan")  # not even one user fitted
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    return {
        "loss with too little memory": (_apart([found], [loss]), 1e-4),
        "warnings of a batch that was cut": (float(len(seen)), None),
    }


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


def told(found: Found, say: Callable[[str], object] = print) -> None:
    """Says every check in a line."""
    for name, (value, most) in found.items():
        wanted = "" if most is None else f"at most {most:.0e}"
        wrong = "  MISSED" if name in missed({name: (value, most)}) else ""
        say(f"  {name:<46}{value:>10.1e}  {wanted}{wrong}")
