"""One commit of recae, for `python -m evaluation.speed before`: TREE FOLDER CASE THREADS.

Only calls that earlier commits have, too, are made here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = sys.argv[1]  # in place of this folder: `import recae` finds the package there

import scipy.sparse as sp  # noqa: E402
import torch  # noqa: E402

import recae  # noqa: E402

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "evaluation" / "kit"), str(ROOT / "evaluation" / "speed")]
import worker  # noqa: E402
from stepwise import Stepwise  # noqa: E402

SIZES: dict[str, Any] = {
    "hidden": (600,),
    "latent": 200,
    "mirror": True,
    "batch_size": 500,
    "precision": "float32",
}
FIRST = """
import sys, time
sys.path.insert(0, sys.argv[1])
import scipy.sparse as sp
import recae
data = sp.load_npz(sys.argv[2])[:100]
started = time.perf_counter()
recae.MultDAE(epochs=1).fit(data, device="cpu", progress=False)
print(time.perf_counter() - started)
sys.path.append(sys.argv[3])
import worker
print(worker.peak_gb())
"""


def main() -> None:
    """Serves the rounds of a case."""
    tree, folder, case, threads = sys.argv[1:5]
    assert Path(recae.__file__).is_relative_to(tree), recae.__file__
    _ = recae.Interactions, recae.MultVAE, recae.EASE, recae.training.train
    bare = worker.peak_gb()
    torch.set_num_threads(int(threads))
    path = Path(folder) / "train.npz"
    cases: dict[str, Callable[[Any], Any]] = {"epoch": epoch, "ranking": ranking, "ease": ease}
    if case == "first":
        worker.serve(lambda: first(tree, path), bare)
    else:
        worker.serve(cases[case](sp.load_npz(path)), bare)


def epoch(matrix: Any) -> Callable[[], dict[str, float]]:
    """An epoch, in the seconds that `fit` measures."""
    data = recae.Interactions.from_csr(matrix)
    model = recae.MultVAE(epochs=100_000, softmax="full", **SIZES)
    training = Stepwise(lambda wait: model.fit(data, callbacks=wait, progress=False, device="cpu"))

    def run() -> dict[str, float]:
        found = training.epoch()
        return {"seconds": found.seconds, "loss": found.loss}

    return run


def first(tree: str, path: Path) -> dict[str, float]:
    """Seconds of the first fit of a new process, and its peak memory."""
    kit = str(Path(worker.__file__).parent)
    command = [sys.executable, "-W", "ignore", "-c", FIRST, tree, str(path), kit]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    return {"seconds": seconds, "peak_gb": peak}


def ranking(matrix: Any) -> Callable[[], None]:
    """Lists for some users, by a model of few updates: its time does not depend on its quality."""
    data = recae.Interactions.from_csr(matrix)
    some = data.select_users(range(min(4096, data.n_users)))
    model = recae.MultVAE(epochs=1, softmax="full", **SIZES)
    model.fit(data.select_users(range(min(500, data.n_users))), progress=False, device="cpu")

    def run() -> None:
        model.recommend_array(some, k=min(100, data.n_items))

    return run


def ease(matrix: Any) -> Callable[[], None]:
    """A closed form of many items."""
    popular = matrix.getnnz(axis=0).argsort(kind="stable")[::-1][:4000]
    data = recae.Interactions.from_csr(matrix[:, sorted(popular)])

    def run() -> None:
        recae.EASE().fit(data, progress=False, device="cpu")

    return run


if __name__ == "__main__":
    main()
