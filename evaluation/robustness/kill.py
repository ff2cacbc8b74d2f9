"""Kills fit, save and export with SIGKILL at random moments, then checks the disk and the rerun.

    python -m evaluation kill --kills 100

Runs on the bundled MovieLens and kills each of four jobs that many times:

- a fit with a checkpoint, which the next process resumes until it is done and then starts again;
- a process that saves two models over each other in a loop;
- a process that exports two lists over each other in a loop;
- an export with a checkpoint, which the next process resumes.

After every kill the disk is checked: a checkpoint must be complete; a model or an export must be
one of the two, bit for bit; nothing else may remain except hidden leftovers. The recommendations of
every resumed fit, and the bytes of every resumed export, are compared with those of an
uninterrupted run.
"""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

import recae
from evaluation.kit.killer import READY, Killer
from evaluation.kit.provenance import keep
from recae.recommend.export import run as parts
from recae.system.progress import bar
from recae.training.checkpoint import KEY

EPOCHS, K = 12, 20
USERS_AT_ONCE = 8


def interactions() -> recae.data.splits.Split:
    """The bundled ratings, with a tenth of each user's ratings held out for validation."""
    return recae.data.splits.holdout_pairs(recae.load_dataset().interactions, 0.1, seed=1)


def model() -> recae.MultVAE:
    """A model small enough that a fit takes seconds."""
    return recae.MultVAE(hidden=(200,), latent=64, epochs=EPOCHS, patience=EPOCHS, batch_size=50)


# The jobs of the processes to kill. Each touches READY when its work begins.


def fit(folder: Path) -> None:
    split = interactions()
    (folder / READY).touch()
    fitted = model().fit(split.train, split.validation, checkpoint=folder / "checkpoint")
    fitted.save(folder / "done")


def save(folder: Path) -> None:
    models = [recae.load(folder / name) for name in ("a", "b")]
    (folder / READY).touch()
    while True:
        for some in models:
            some.save(folder / "model", overwrite=True)


def export(folder: Path) -> None:
    models = [recae.load(folder / name) for name in ("a", "b")]
    history = interactions().train
    (folder / READY).touch()
    while True:
        for some in models:
            some.export(folder / "top.parquet", history, k=K, overwrite=True)


def resume(folder: Path) -> None:
    """An export of small parts, each written at once, that resumes after a kill."""
    some, history = recae.load(folder / "a"), interactions().train
    parts.PART_USERS = USERS_AT_ONCE
    (folder / READY).touch()
    options: dict[str, Any] = {"batch_size": USERS_AT_ONCE, "checkpoint": folder / "parts"}
    some.export(folder / "top.parquet", history, k=K, overwrite=True, **options)


# The process that kills them, and its checks.


def look(folder: Path, expected: set[str]) -> int:
    """The number of hidden leftovers. Any other unexpected file is an error."""
    names = {path.name for path in folder.iterdir()} - {READY}
    leftovers = {name for name in names if name.startswith(".") and name.endswith(".part")}
    if names - leftovers - expected:
        raise AssertionError(f"on disk: {sorted(names)}")
    return len(leftovers)


def kill_fits(kill: Killer, kills: int, shown: Any) -> dict[str, Any]:
    """Kills fits. A finished fit is compared with an uninterrupted one, and another begins."""
    split = interactions()
    started = time.perf_counter()
    expected = model().fit(split.train, split.validation).recommend(k=K)
    seconds = time.perf_counter() - started
    found: collections.Counter[str] = collections.Counter()
    killed = finished = leftovers = 0
    while killed < kills:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            while killed < kills:
                began, fresh = time.perf_counter(), not (folder / "checkpoint").exists()
                if kill(fit, folder, seconds):
                    killed += 1
                    shown.update()
                elif fresh:  # faster than the first run, when the machine was busy
                    seconds = min(seconds, time.perf_counter() - began)
                leftovers = max(leftovers, look(folder, {"checkpoint", "done"}))
                found[on_disk(folder)] += 1
                if (folder / "done").exists():
                    break
            else:
                fit(folder)  # runs to its end
            done = recae.load(folder / "done").recommend(k=K, history=split.train)
            pd.testing.assert_frame_equal(done, expected, check_exact=True)
            finished += 1
    return {
        "kills": killed,
        "undisturbed_seconds": round(seconds, 2),
        "on_disk_after_a_kill": dict(sorted(found.items())),
        "most_leftovers": leftovers,
        "finished_fits_equal_to_the_undisturbed_one": finished,
    }


def on_disk(folder: Path) -> str:
    """Describes the checkpoint that a killed fit has left."""
    if (folder / "done").exists():
        recae.load(folder / "done")
        return "the saved model"
    if not (folder / "checkpoint").exists():
        return "nothing"
    with safe_open(folder / "checkpoint", "pt") as file:
        epochs = len(json.loads(file.metadata()[KEY])["progress"]["epochs"])
        assert all(file.get_tensor(tensor).isfinite().all() for tensor in file.keys())
    return f"checkpoint of epoch {epochs:2d}"


def two_models(folder: Path) -> list[pd.DataFrame]:
    """Saves two different models as a and b; returns what each recommends."""
    train = interactions().train
    frames = []
    for name, latent in (("a", 64), ("b", 65)):
        fitted = recae.MultVAE(hidden=(200,), latent=latent, epochs=1).fit(train)
        fitted.save(folder / name)
        frames.append(fitted.recommend(k=K))
    assert not frames[0].equals(frames[1])
    return frames


def seconds_of_one(work: Callable[[Path], None], folder: Path) -> float:
    """Seconds that one write takes in this process."""
    some, started = recae.load(folder / "a"), time.perf_counter()
    if work is save:
        some.save(folder / "trial")
        shutil.rmtree(folder / "trial")
    else:
        some.export(folder / "trial.parquet", interactions().train, k=K)
        (folder / "trial.parquet").unlink()
    return time.perf_counter() - started


def kill_writers(
    kill: Killer, kills: int, shown: Any, work: Callable[[Path], None], target: str
) -> dict[str, Any]:
    """Kills processes that alternately write two things to one path. The path must hold one of
    them."""
    found: collections.Counter[str] = collections.Counter()
    train, leftovers = interactions().train, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = two_models(folder)
        seconds = 3 * seconds_of_one(work, folder)
        for _ in range(kills):
            if not kill(work, folder, seconds):
                raise AssertionError("the endless writer has ended")
            shown.update()
            leftovers = max(leftovers, look(folder, {"a", "b", target}))
            path = folder / target
            if not path.exists():
                found["nothing"] += 1
                continue
            if path.is_dir():
                frame = recae.load(path).recommend(k=K, history=train)
            else:
                frame = pd.read_parquet(path)
                frame["rank"] = frame["rank"].astype(np.int64)
            which = [label for label, f in zip("ab", frames, strict=True) if f.equals(frame)]
            if len(which) != 1:
                raise AssertionError(f"{path} is neither of the two")
            found[f"the whole of {which[0]}"] += 1
            if found.total() % 2:  # half of the kills happen while the path is empty
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {
        "kills": kills,
        "on_disk_after_a_kill": dict(sorted(found.items())),
        "most_leftovers": leftovers,
    }


def kill_exports(kill: Killer, kills: int, shown: Any) -> dict[str, Any]:
    """Kills exports with a checkpoint. A finished one is compared with an uninterrupted one."""
    train, parts.PART_USERS = interactions().train, USERS_AT_ONCE  # row groups depend on it
    found: collections.Counter[str] = collections.Counter()
    killed = finished = leftovers = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        two_models(folder)
        model = recae.load(folder / "a")
        model.export(folder / "expected.parquet", train, k=K, batch_size=USERS_AT_ONCE)
        expected = (folder / "expected.parquet").read_bytes()
        started = time.perf_counter()
        resume(folder)
        seconds = time.perf_counter() - started
        while killed < kills:
            (folder / "top.parquet").unlink()
            while killed < kills and not (folder / "top.parquet").exists():
                began, fresh = time.perf_counter(), not (folder / "parts").exists()
                if kill(resume, folder, seconds):
                    killed += 1
                    shown.update()
                elif fresh:  # faster than the first run, when the machine was busy
                    seconds = min(seconds, time.perf_counter() - began)
                known = {"a", "b", "expected.parquet", "parts", "top.parquet"}
                leftovers = max(leftovers, look(folder, known))
                written = len(list((folder / "parts").glob("part-*")))
                found[f"{written // 10 * 10:3d} or more parts" if written else "no part"] += 1
            if not (folder / "top.parquet").exists() or (folder / "parts").exists():
                resume(folder)  # runs to its end
            assert (folder / "top.parquet").read_bytes() == expected
            assert not (folder / "parts").exists()
            finished += 1
    return {
        "kills": killed,
        "undisturbed_seconds": round(seconds, 2),
        "on_disk_after_a_kill": dict(sorted(found.items())),
        "most_leftovers": leftovers,
        "finished_exports_equal_to_the_undisturbed_one": finished,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Kills, checks, compares and prints. Any difference raises an AssertionError."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="of each of the four parts")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(argv)
    kill, kills = Killer(options.seed), options.kills
    with bar(4 * kills, "killing", "kill", None) as shown:
        result = {
            "fit": kill_fits(kill, kills, shown),
            "save": kill_writers(kill, kills, shown, save, "model"),
            "export": kill_writers(kill, kills, shown, export, "top.parquet"),
            "export with a checkpoint": kill_exports(kill, kills, shown),
        }
    for part, numbers in result.items():
        print(part)
        for what, value in numbers.items():
            print(f"  {what.replace('_', ' ')}: {value}")
    print(f"kept in {keep('kill', {'suite': 'kill -9 at random moments', **result})}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
