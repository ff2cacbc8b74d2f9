"""One of the processes of `scale_torchrun`: it trains, and writes what it saw to RANK.json."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

import recae
from recae.nn import LinearHead, Ragged, Ranks
from recae.nn.sharded import shard_module
from recae.training import loop


def work(folder: Path) -> None:
    """Does what `job.json` in the folder says."""
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    data = recae.read_parquet(job["data"], progress=False)
    split = recae.StrongGeneralization(held_out=job["held_out"]).split(data)
    found: dict[str, Any] = {"pid": os.getpid()}
    with recae.distributed(timeout=job["timeout"]) as ranks:
        rank = ranks.rank
        (folder / f"{rank}.pid").write_text(str(os.getpid()))
        for name, about in job["models"].items():
            found[name] = trained(name, about, split, ranks, job.get("checkpoint"))
        if job.get("wide"):
            found["wide"] = wide(job["wide"])
        if job.get("softmax") and ranks.size > 1:
            found["softmax"] = softmax(job["softmax"], ranks)
    (folder / f"{rank}.json").write_text(json.dumps(found))


def trained(
    name: str, about: dict[str, Any], split: Any, ranks: Ranks, checkpoint: str | None
) -> dict[str, Any]:
    """The curve of a model, what this process held of it, and on process 0 its test metrics."""
    model = recae.MODELS[name](**about)
    options = {"seed": 0, "device": "cpu", "progress": False, "checkpoint": checkpoint}
    with watched() as held:
        model.fit(split.train, split.validation, **options)
    found = held | {
        "losses": [epoch.loss for epoch in model.epochs_],
        "metrics": [next(iter(epoch.metrics.values())) for epoch in model.epochs_],
        "seconds_an_epoch": float(np.median([epoch.seconds for epoch in model.epochs_])),
    }
    if not ranks.rank:
        report = recae.evaluate(model, split.test, metrics=["ndcg@100", "recall@20"])
        found["test"] = report.mean
    return found


def wide(about: dict[str, Any]) -> dict[str, Any]:
    """The memory of a network with a very wide first and last layer."""
    matrix = sp.random(about["users"], about["items"], about["density"], "csr", random_state=0)
    data = recae.Interactions.from_csr(matrix).binarised()
    model = recae.MultDAE(latent=about["latent"], epochs=1, batch_size=500, precision="float32")
    with watched() as held:
        model.fit(data, seed=0, device="cpu", progress=False)
    return held | {"loss": model.epochs_[0].loss, "seconds": model.epochs_[0].seconds}


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """The bytes of weights and moments of a training, and the resident memory before and at most,
    all in MiB."""
    states: list[Any] = []
    original = loop.TrainingState

    def kept(*given: Any, **more: Any) -> Any:
        states.append(original(*given, **more))
        sizes.append(0)
        return states[0]

    sizes: list[int] = []
    loop.TrainingState = kept  # type: ignore[assignment, misc]
    before, epoch = resident("VmRSS"), loop._epoch

    def counted(state: Any, *rest: Any) -> float:
        loss = epoch(state, *rest)
        sizes[0] = sum(t.numel() * t.element_size() for t in state.tensors().values())
        return loss

    loop._epoch = counted
    reset_peak()
    found: dict[str, Any] = {}
    try:
        yield found
    finally:
        loop.TrainingState, loop._epoch = original, epoch  # type: ignore[misc]
    found |= {
        "weights_and_moments_mb": round(sizes[0] / 2**20, 2),
        "resident_before_mb": before,
        "resident_peak_mb": resident("VmHWM"),
    }


def resident(name: str) -> float:
    """A line of the status of this process, in MiB; 0 where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith(name))


def reset_peak() -> None:
    """Starts the peak of the resident memory anew, where Linux allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def softmax(about: dict[str, int], ranks: Ranks) -> dict[str, float]:
    """The largest relative differences of a sharded softmax from the whole one, here in float32:
    of the loss, and of the gradients of the hidden layer, the weights and the biases."""
    rows, items, width = about["rows"], about["items"], about["width"]
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, width, generator=generator)
    target = Ragged.from_csr(sp.random(rows, items, 0.005, "csr", random_state=0, dtype=np.float32))
    head = LinearHead(width, items)
    head.initialise(generator)

    def graded(own: Any, h: torch.Tensor) -> list[torch.Tensor]:
        h = h.clone().requires_grad_()
        loss = own(h).loss("multinomial", target)
        return [loss.detach(), *torch.autograd.grad(loss, [h, own.weight, own.bias])]

    whole = graded(head, hidden)
    shard_module(head, ranks)
    started = time.perf_counter()
    own = graded(head, hidden[ranks.rows(rows)])
    seconds = time.perf_counter() - started
    shard: Any = head.shard
    wanted = [whole[0], whole[1][ranks.rows(rows)], shard.of(whole[2]), shard.of(whole[3])]
    own[0] = ranks.summed(own[0])
    names = ("loss", "hidden", "weight", "bias")
    return {"seconds": seconds} | {
        name: float((a - b).abs().max() / b.abs().max())
        for name, a, b in zip(names, own, wanted, strict=True)
    }


if __name__ == "__main__":
    work(Path(sys.argv[1]))
