"""Training, EASE and export on a GPU, compared with the chip's measured rates; --dry-run on CPU.

    python -m evaluation.speed gpu
    python -m evaluation.speed gpu --dry-run

Needs no data: synthetic interactions with a long tail are generated from a seed, in the shape of
MovieLens 20M and of a million users by 41,000 items. The parts run in this order; --parts selects
some:

- chip: products of matrices in float32, TF32 and bfloat16, and a copy, measured.
- check: all models give there what they give on the CPU: losses, scores, lists, resumed fits.
- profile: an epoch of Mult-VAE, profiled: a table of kernels, and how busy the GPU was; with and
  without CUDA graphs.
- mult-vae: an epoch of 600-200-600 in batches of 500, by `fit`, by a dense network in plain torch,
  and by RecBole if --recbole-python names an interpreter that has it. Each runs in its own process
  on the same device, alternately, in float32. recae also runs in bfloat16, its default there, which
  the target applies to. 6 x users x width x items operations for the output layer.
- rec-vae: a few rounds of three epochs and one, from which 50 are extrapolated.
- ease: `EASE(precision="float32").fit` on 40,981 items: all of it, X'X, the inverse and the way
  back, with the weights of a few items compared with conjugate gradients; items^3 operations.
- top: `export` of the top 100 of a million users from 41,000 items.

Shares are of the measured rates: operations and bytes are the fewest that the computation needs.
Every part has a limit of seconds of its own, all together eight minutes, after which it is left; a
library call that has begun is not cut short. Without a GPU and without --dry-run it prints a
message and measures nothing. The result is written after every part, so that a run that is stopped
keeps the parts before; --out names its folder.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
import torch

import recae
from evaluation.kit.harness import alternate, arguments
from evaluation.kit.provenance import keep
from evaluation.speed import given, gpu_check, gpu_profile
from evaluation.speed.closed_form_checks import checked, exact
from evaluation.speed.gpu_chip import chip, synthetic, wait
from evaluation.speed.gpu_sides import BATCH, HIDDEN, LATENT, SERVED, serve
from evaluation.speed.stepwise import Stepwise
from recae.models.linear import _base, _solve

L2 = 80.0
ROUND = 4
"""Epochs of RecVAE in a round: three of the encoder and one of the decoder."""


@dataclass(frozen=True)
class Sizes:
    """Sizes: users, items and interactions of the two data sets, and the other sizes."""

    fitted: tuple[int, int, int] = (116_677, 20_108, 8_500_000)
    served: tuple[int, int, int] = (1_000_000, 40_981, 27_000_000)
    checked: tuple[int, int, int] = (900, 500, 15_000)
    learnt_from: int = 20_000
    chip: int = 8192
    rounds: int = 3
    k: int = 100


DRY = Sizes((400, 300, 8_000), (900, 500, 9_000), (120, 80, 1_500), 300, 128, 1, 10)


@dataclass
class Machine:
    """The device, the sizes, and the measured rates of the device."""

    device: torch.device
    sizes: Sizes
    rates: dict[str, float]
    options: argparse.Namespace

    def shares(self, operations: float, moved: float, seconds: float) -> dict[str, float]:
        """The shares of the measured rates that this many operations and bytes in these seconds
        reach."""
        work = dict.fromkeys(self.rates, operations) | {"copy": moved}
        return {name: round(work[name] / seconds / rate, 4) for name, rate in self.rates.items()}


def measure_chip(machine: Machine) -> dict[str, Any]:
    """The rates of the device, with which the parts after it are compared."""
    machine.rates.update(chip(machine.device, machine.sizes.chip))
    for name, rate in machine.rates.items():
        unit = "GB/s" if name == "copy" else "GFLOP/s"
        print(f"  {name:<15} {rate / 1e9:,.0f} {unit}")
    return {"rates": machine.rates}


@lru_cache(maxsize=1)
def made(shape: tuple[int, int, int]) -> sp.csr_matrix:
    """The synthetic interactions of a size, made once for parts that follow each other."""
    return synthetic(*shape)


def check(machine: Machine) -> dict[str, Any]:
    """Whether the device computes what the CPU computes."""
    found: gpu_check.Found = {}
    try:
        gpu_check.checks(machine.device, synthetic(*machine.sizes.checked), found)
    except Late as late:
        found[f"all checks: {late}"] = (float("inf"), 0.0)
    missed = list(gpu_check.missed(found))
    print(f"  {len(missed)} of {len(found)} checks missed")
    numbers = {
        name: {"found": value if np.isfinite(value) else str(value), "most": most}
        for name, (value, most) in found.items()
    }
    return {"missed": missed, "checks": numbers}


def profile(machine: Machine) -> dict[str, Any]:
    """Where the time of an epoch of Mult-VAE goes, in its default precision."""
    model = recae.MultVAE(
        hidden=(HIDDEN,), latent=LATENT, mirror=True, batch_size=BATCH, softmax="full"
    )
    matrix = made(machine.sizes.fitted)[: 20 * BATCH]
    found = gpu_profile.profiled(machine.device, matrix, model)
    gpu_profile.tell(found)
    if machine.device.type == "cuda":
        with gpu_check.graphs_from(10**9):
            found["without_graphs"] = gpu_profile.profiled(machine.device, matrix, model)
        gpu_profile.tell(found["without_graphs"])
    return found


def mult_vae(machine: Machine) -> dict[str, Any]:
    """An epoch on every side."""
    users, items, _ = machine.sizes.fitted
    with tempfile.TemporaryDirectory() as name:
        matrix = made(machine.sizes.fitted)
        sp.save_npz(Path(name) / "train.npz", matrix)
        common = [f"--device={machine.device}", f"--threads={machine.options.threads}"]
        ours = [sys.executable, "-m", "evaluation.speed.gpu", *common, "--folder", name, "--serve"]
        sides = {side: [*ours, side] for side in SERVED}
        if machine.options.recbole_python:
            given.write_atomic(Path(name), "train", matrix)
            script = Path(__file__).parent / "peers" / "recbole_epoch.py"
            sizes = [f"--hidden={HIDDEN}", f"--latent={LATENT}", f"--batch={BATCH}"]
            python = machine.options.recbole_python
            sides["recbole"] = [python, str(script), name, *sizes, *common]
        rounds = alternate(sides, machine.options.rounds, threads=machine.options.threads)
    print(rounds.summary())
    seconds = rounds.as_dict()["sides"]["recae-bfloat16"]["median_seconds"]
    # Scores are written, normalised (read and written), and read for two gradients; Adam reads two
    # layers, their gradients and two moments in every step, and writes all but the gradients.
    moved = 4.0 * (5 * users * items + -(-users // BATCH) * 7 * 2 * items * HIDDEN)
    shares = _shares(machine, 6.0 * users * HIDDEN * items, moved, seconds)
    return rounds.as_dict() | {"seconds": seconds} | shares


def rec_vae(machine: Machine) -> dict[str, Any]:
    """Runs some rounds and extrapolates to 50."""
    rounds = machine.sizes.rounds
    data = recae.Interactions.from_csr(made(machine.sizes.fitted))
    model = recae.RecVAE.preset("paper")
    model.set_params(epochs=10**6, patience=10**6)
    training = Stepwise(
        lambda wait: model.fit(data, callbacks=wait, progress=False, device=machine.device)
    )
    try:
        epochs = [training.epoch().seconds for _ in range(ROUND * (rounds + 1))][ROUND:]
    finally:
        training.stop()
    found = {"epochs": [round(seconds, 4) for seconds in epochs], "rounds": rounds}
    seconds = 50 * sum(epochs) / rounds
    print(f"  {seconds:.1f} s for 50 rounds, extrapolated from {rounds} after a first one")
    return found | {"seconds": round(seconds, 3), "extrapolated": True}


def ease(machine: Machine) -> dict[str, Any]:
    """Seconds of a fit, the first one and the next, of its steps in one more, and the error of a
    few items' weights."""
    x = made(machine.sizes.served)
    x = x[: 4 * x.shape[1]]  # about 160,000 users: a typical Gram matrix for EASE
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        model = recae.EASE(l2=L2, precision="float32").fit(x, progress=False, device=machine.device)
        seconds.append(time.perf_counter() - started)
    with stepped(machine.device) as steps:
        recae.EASE(l2=L2, precision="float32").fit(x, progress=False, device=machine.device)
    items = checked(x.shape[1])
    error = np.abs(model.weights_[:, items].cpu().numpy() - exact(x, L2, items)).max()
    print(f"  {seconds[1]:.2f} s ({seconds[0]:.2f} s at first), largest weight error {error:.1e}")
    print("  " + ", ".join(f"{name} {took:.2f} s" for name, took in steps.items()))
    found = {"first_seconds": seconds[0], "seconds": seconds[1], "largest_error": float(error)}
    found |= {f"{name}_seconds": round(took, 3) for name, took in steps.items()}
    moved = 4.0 * x.shape[1] ** 2  # back
    return found | _shares(machine, float(x.shape[1]) ** 3, moved, seconds[1])


STEPS = {
    "X'X": (_solve, "_gram"),
    "inverse": (_solve, "negative_inverse_"),
    "way back": (_base, "to_float32"),
}
"""The steps of a closed form that are timed, and the function that each is."""


@contextmanager
def stepped(device: torch.device) -> Iterator[dict[str, float]]:
    """Seconds of each of `STEPS` in a fit inside the block, which waits for the device after it."""
    found: dict[str, float] = {}

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = step(*arguments)
            wait(device)
            found[name] = time.perf_counter() - started
            return result

        return run

    with ExitStack() as stack:
        for name, (module, step) in STEPS.items():
            stack.enter_context(patch.object(module, step, timed(name, getattr(module, step))))
        yield found


def top(machine: Machine) -> dict[str, Any]:
    """Seconds of an export for all users, by a Mult-VAE trained on some of them for an epoch."""
    users, items, _ = machine.sizes.served
    everybody = recae.Interactions.from_csr(made(machine.sizes.served))
    some = recae.Interactions.from_csr(everybody.matrix[: machine.sizes.learnt_from])
    model = recae.MultVAE(
        hidden=(HIDDEN,), latent=LATENT, mirror=True, batch_size=BATCH, epochs=1
    ).fit(some, progress=False, device=machine.device)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        rows = model.export(Path(folder) / "top.parquet", everybody, k=machine.sizes.k)
        seconds = time.perf_counter() - started
    print(f"  {rows:,} rows for {users:,} users in {seconds:.1f} s")
    found = {"seconds": seconds, "rows": rows, "users_a_second": round(users / seconds, 1)}
    moved = 8.0 * users * items  # scores are written and read
    return found | _shares(machine, 2.0 * users * HIDDEN * items, moved, seconds)


@dataclass(frozen=True)
class Part:
    """What measures a part, its target in seconds, and the seconds after which it is left."""

    run: Callable[[Machine], dict[str, Any]]
    target: float | None
    limit: float


PARTS = {
    "chip": Part(measure_chip, None, 10),
    "check": Part(check, None, 120),
    "profile": Part(profile, None, 40),
    "mult-vae": Part(mult_vae, 0.3, 100),
    "rec-vae": Part(rec_vae, 120.0, 40),
    "ease": Part(ease, 10.0, 80),
    "top": Part(top, 60.0, 90),
}


class Late(BaseException):
    """A part has reached its limit. No Exception, which what runs might catch."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises Late if the block takes longer, where there is such a clock."""
    if not hasattr(signal, "setitimer"):  # on Windows
        yield
        return

    def late(*given: object) -> None:
        raise Late(f"left after its limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _shares(machine: Machine, operations: float, moved: float, seconds: float) -> dict[str, Any]:
    shares = machine.shares(operations, moved, seconds)
    text = ", ".join(f"{share:.3f} of {name}" for name, share in shares.items())
    print(
        f"  {operations / seconds / 1e9:,.0f} GFLOP/s, {moved / seconds / 1e9:,.0f} GB/s at least: "
        f"{text}"
    )
    return {"operations": operations, "bytes": moved, "shares": shares}


def measured(part: Part, machine: Machine) -> dict[str, Any]:
    """What a part finds; a failure is told, and the next part follows."""
    started = time.perf_counter()
    try:
        with limited(part.limit):
            found = part.run(machine)
    except (Exception, Late) as error:
        found = {"failed": f"{type(error).__name__}: {error}"}
        print(
            f"  FAILED after {time.perf_counter() - started:.1f} s: {found['failed']}", flush=True
        )
        return found
    if part.target is not None and not machine.options.dry_run:
        found |= {"target_seconds": part.target, "met": found["seconds"] <= part.target}
        print(f"  target {part.target:g} s: {'met' if found['met'] else 'missed'}", flush=True)
    print(f"  this part took {time.perf_counter() - started:.1f} s", flush=True)
    return found | {"took_seconds": round(time.perf_counter() - started, 1)}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the seconds of each part, and whether they reach the target."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument(
        "--dry-run", action="store_true", help="everything, at a small size, on the CPU"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--recbole-python", metavar="PYTHON", help="an interpreter with RecBole")
    parser.add_argument("--out", type=Path, help="folder for the result (evaluation/results)")
    parser.add_argument("--serve", choices=SERVED, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options)
        return 0
    device = torch.device("cpu" if options.dry_run else options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("not run: no GPU found; --dry-run runs everything at a small size on the CPU")
        return 0
    sizes = DRY if options.dry_run else Sizes()
    options.rounds = 1 if options.dry_run else options.rounds
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    print(f"{name}, {sizes}", flush=True)
    machine = Machine(device, sizes, {}, options)
    result: dict[str, Any] = {"suite": "a GPU", "device": name, "sizes": asdict(sizes)}
    for part in options.parts:
        print(f"\n{part}", flush=True)
        result[part] = measured(PARTS[part], machine)
        if options.out is not None or not options.dry_run:
            print(f"kept in {keep('speed-gpu', result, options.out)}", flush=True)
        if device.type == "cuda":
            with suppress(RuntimeError):  # after some errors a GPU gives nothing any more
                torch.cuda.empty_cache()
    if options.dry_run:
        print(json.dumps({part: result[part].get("seconds") for part in options.parts}))
    failed = [part for part in options.parts if "failed" in result[part]]
    return int(bool(failed or result.get("check", {}).get("missed")))


if __name__ == "__main__":
    raise SystemExit(main())
