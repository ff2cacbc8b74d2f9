"""What each of two processes does in the tests of distributed training; run as a script.

`results(folder)` starts both once, by gloo on this machine, and gives what they noted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import scipy.sparse as sp
import torch.distributed as dist

import recae
from recae import Interactions
from recae.errors import TrainingInterrupted
from recae.training import Epoch

DATA = Interactions.from_csr(sp.random(47, 31, 0.2, format="csr", random_state=1))
FEW = Interactions.from_csr(DATA.matrix[:5])
FOLD = recae.data.splits.holdout_pairs(DATA, 0.3, seed=3)
MORE = {"epochs": 2, "batch_size": 16, "lr": 0.01}


def exact(make: Callable[..., Any], **options: Any) -> Any:
    """A model without products in bfloat16, whose rounding depends on the parts of a layer."""
    model = make(**options)
    known = "precision" in model.param_fields()
    return model.set_params(precision="float32") if known else model


_MODELS: dict[str, Callable[..., Any]] = {
    "mult-vae": lambda **m: recae.MultVAE(latent=6, hidden=(9,), mirror=True, **MORE | m),
    "mult-vae svd": lambda **m: recae.MultVAE(latent=6, hidden=(9,), init="svd", **MORE | m),
    "mult-vae sampled": lambda **m: recae.MultVAE(
        latent=6, hidden=(9,), softmax="sampled", num_sampled=5, l2=1e-3, **MORE | m
    ),
    "mult-dae": lambda **m: recae.MultDAE(latent=6, hidden=(7,), l2=1e-3, **MORE | m),
    "vanilla-ae logistic": lambda **m: recae.VanillaAE(latent=6, loss="logistic", **MORE | m),
    "vanilla-ae squared": lambda **m: recae.VanillaAE(latent=6, loss="squared", **MORE | m),
    "mult-dae weights": lambda **m: recae.MultDAE(latent=6, weights="both", **MORE | m),
    "sparse-ae l1": lambda **m: recae.SparseAE(latent=8, **MORE | m),
    "sparse-ae kl": lambda **m: recae.SparseAE(latent=8, sparsity="kl", **MORE | m),
    "cdae": lambda **m: recae.CDAE(latent=4, negatives=2, optimiser="adagrad", **MORE | m),
    "cdae all": lambda **m: recae.CDAE(latent=4, **MORE | m),
    "auto-rec": lambda **m: recae.AutoRec(latent=4, **MORE | m),
    "rec-vae": lambda **m: recae.RecVAE(
        latent=4, width=8, depth=2, encoder_epochs=1, slim_every=1, slim_l2=2.0, **MORE | m
    ),
    "elsa": lambda **m: recae.ELSA(latent=4, **MORE | m),
    "elsa short batches": lambda **m: recae.ELSA(latent=20, **MORE | m),
    "macrid-vae": lambda **m: recae.MacridVAE(latent=4, concepts=3, width=5, **MORE | m),
    "vasp": lambda **m: recae.VASP(latent=4, width=6, depth=2, decoder_depth=2, **MORE | m),
    "flvae": lambda **m: recae.FLVAE(
        latent=4, width=6, depth=2, decoder_depth=2, milestones=(1,), **MORE | m
    ),
    "neural-ease": lambda **m: recae.NeuralEASE(**MORE | m),
    "h-vamp": lambda **m: recae.HVamp(
        latent=3, width=6, components=5, optimiser="normalised-adam", **MORE | m
    ),
}
MODELS = {name: partial(exact, make) for name, make in _MODELS.items()}
TIMEOUT = 120.0
RESUMED = ("mult-vae", "elsa", "neural-ease")


def fitted(name: str, **options: Any) -> Any:
    """A model of `MODELS`, fitted with validation on the CPU."""
    return MODELS[name]().fit(
        FOLD.train, FOLD.validation, seed=1, device="cpu", progress=False, **options
    )


def numbers(model: Any) -> list[tuple[float, float]]:
    """The loss and the metric of each epoch."""
    return [(epoch.loss, *epoch.metrics.values()) for epoch in model.epochs_]


def said(error: Exception) -> list[str]:
    """The class of an error, what it is about, and what it says."""
    return [type(error).__name__, str(getattr(error, "parameter", None)), str(error)]


def curves(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """Every model, to the end; process 0 saves it."""
    for name in MODELS:
        model = fitted(name)
        notes[name] = numbers(model)
        model.save(folder / name)


CLOSED: dict[str, Callable[..., Any]] = {
    "ease": lambda: recae.EASE(l2=2.0),
    "edlae weights": lambda: recae.EDLAE(
        l2=2.0, weights="both", user_power=0.3, item_power=0.2, precision="float32"
    ),
    "rdlae powers": lambda: recae.RDLAE(
        relative_l2=0.5, kept_weight=0.4, user_power=0.3, output_power=0.2, noise="unweighted"
    ),
    "ease over users": lambda: recae.EASE(l2=3.0),
}


def closed(name: str) -> Any:
    """A closed form, from blocks of few users and in many strips; fewer users than items."""
    from recae.data import scaled  # here, so that `main` forks before it is imported
    from recae.models.linear import _gram

    data = DATA.select_users(range(15)) if name == "ease over users" else DATA
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaled, "ENTRIES", 40)
        patch.setattr(_gram, "WIDTH", 4)
        patch.setattr(_gram, "NARROWEST", 1)
        return CLOSED[name]().fit(data, progress=False)


def closed_forms(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """Every closed form, saved by process 0, and how many numbers the others send."""
    sent: list[int] = []
    original = recae.nn.Ranks.send

    def noted(self: Any, tensor: Any, to: int) -> None:
        sent.append(tensor.numel())
        original(self, tensor, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recae.nn.Ranks, "send", noted)
        for name in CLOSED:
            sent.clear()
            closed(name).save(folder / name)
            notes[f"sent {name}"] = sum(sent)


def sizes(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """How many numbers a process holds of a network while it trains, and in its optimiser."""
    held: dict[str, int] = {}
    original = recae.training.loop.make_optimiser

    def noted(net: Any, *rest: Any) -> Any:
        held.update({name: p.numel() for name, p in net.named_parameters()})
        return original(net, *rest)

    recae.training.loop.make_optimiser = noted
    try:
        fitted("mult-vae")
    finally:
        recae.training.loop.make_optimiser = original
    notes["held"] = held


def checkpoints(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """Two processes go on where one stopped, and are stopped by Ctrl-C where one will go on, or
    after the last batch."""

    def stopped(name: str, after: int, checkpoint: Path | None) -> int | None:
        def press(epoch: Epoch) -> None:
            if epoch.number == after:
                os.kill(os.getpid(), signal.SIGINT)

        try:
            fitted(name, callbacks=press, checkpoint=checkpoint)
        except TrainingInterrupted as interruption:
            return len(interruption.epochs)
        return None

    for name in RESUMED:
        notes[f"resumed {name}"] = numbers(fitted(name, checkpoint=folder / f"one {name}"))
        notes[f"stopped {name}"] = stopped(name, 1, folder / f"two {name}")
    notes["stopped late"] = stopped("elsa", MORE["epochs"], None)


def mistakes(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """Processes that do not fit the same, models that are fitted by one, and a model elsewhere.

    An error parts the processes, so each attempt connects them again.
    """

    def fails(epoch: Epoch) -> None:
        raise KeyError("mine")

    other = Interactions.from_csr(sp.random(47, 31, 0.2, format="csr", random_state=2))
    tries: dict[str, Callable[[], Any]] = {
        "seed": lambda: MODELS["elsa"]().fit(DATA, seed=ranks.rank, device="cpu"),
        "data": lambda: MODELS["elsa"]().fit(other if ranks.rank else DATA, device="cpu"),
        "hyperparameters": lambda: recae.ELSA(latent=4 + ranks.rank).fit(DATA, device="cpu"),
        "alone": lambda: recae.PureSVD().fit(DATA),
        "few items": lambda: MODELS["elsa"]().fit(
            Interactions.from_csr(sp.csr_matrix([[1], [1]])), device="cpu"
        ),
        "score": lambda: notes["model"].score(DATA),
        "divergence": lambda: MODELS["mult-vae"](lr=1e30).fit(DATA, device="cpu"),
        "callback": lambda: fitted("elsa", callbacks=fails),
        "tune": lambda: recae.tune(recae.ELSA(), FOLD.train, FOLD.validation, trials=1),
    }
    notes["model"] = MODELS["elsa"]().fit(DATA, device="cpu", progress=False)
    for name, attempt in tries.items():
        try:
            with recae.distributed(TIMEOUT):
                attempt()
            notes[name] = None
        except Exception as error:
            notes[name] = said(error)
    del notes["model"]
    try:
        fitted("elsa")
    except Exception as error:
        notes["parted"] = said(error)


def few_users(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """Batches of one row: one of the processes has none."""
    for name in ("mult-vae", "macrid-vae", "cdae"):
        model = MODELS[name](batch_size=1, epochs=1)
        notes[f"single {name}"] = numbers(model.fit(FEW, seed=1, device="cpu", progress=False))


def killed(notes: dict[str, Any], ranks: recae.nn.Ranks, folder: Path) -> None:
    """Process 1 is killed between two batches of the second epoch."""
    steps = 0
    original = recae.training.Accumulation.backward

    def count(*given: Any) -> Any:
        nonlocal steps
        steps += ranks.rank
        if steps == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*given)

    recae.training.Accumulation.backward = count  # type: ignore[method-assign]
    write(notes, ranks.rank, folder)
    started = time.monotonic()
    try:
        fitted("mult-vae", checkpoint=folder / "killed")
    except Exception as error:
        notes["killed"] = said(error)
    notes["seconds"] = time.monotonic() - started


def write(notes: dict[str, Any], rank: int, folder: Path) -> None:
    (folder / f"{rank}.json").write_text(json.dumps(notes))


def results(folder: Path) -> list[dict[str, Any]]:
    """What both processes noted, in order."""
    # It is kept by this process, as torchrun keeps it, and so outlives each connection.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    about |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    about |= {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::FutureWarning", __file__, str(folder)]
    # Its group is ended with it, whatever happens.
    started = subprocess.Popen(command, env={**os.environ, **about}, start_new_session=True)
    try:
        started.wait(300)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def main(folder: Path) -> None:
    import torch._dynamo  # noqa: F401  what an optimiser imports in its first step

    # One process imports everything, which takes seconds, and becomes two before it does anything.
    assert recae.MODELS and recae.training.train and recae.load
    rank = 0 if os.fork() else 1
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", recae.RecaeWarning)
    notes: dict[str, Any] = {}
    for part in (curves, closed_forms, sizes, checkpoints, mistakes, few_users, killed):
        with recae.distributed(TIMEOUT) as ranks:
            part(notes, ranks, folder)
    write(notes, rank, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
