"""Every model as ONNX: its lists in ONNX Runtime beside those of recae, and the time of one user.

    python -m evaluation onnx
    python -m evaluation onnx --fresh
    python -m evaluation onnx ease mult-vae --epochs 5 --synthetic 20000

The models are fitted on the bundled MovieLens, or on random histories over `--synthetic` items,
neural ones for a few epochs: how good they are does not matter here. Each is saved, loaded, written
as ONNX and asked for the top 20 of 1,000 histories: random ones of 1 to 2,000 items, and as many as
a twentieth each that are empty, of unknown items alone, of known and unknown items, and of nearly
all items. A list is the same if it has the same items in the same places, but for items whose
scores differ by at most 1e-6, and a score if it differs by at most 1e-5, both relative to the
largest score of the row. Then one user at a time, histories of 50 items: medians and 99th
percentiles of `recommend_array`, `recommend_ids` and ONNX Runtime, in turn, with one thread each.

--fresh makes a virtual environment with numpy and ONNX Runtime alone (pip downloads them), runs
docs/deploy/onnx_example.py there with the file of each model, and compares what it prints with
`recommend_ids`. The result is kept in evaluation/results, or in --out; of single models, only in
--out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
import venv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

import recae
from evaluation.kit.planted import planted
from evaluation.kit.provenance import keep
from recae import ConfigError, Interactions, Recommender
from recae.ranking.batches import dense

EXAMPLE = Path(__file__).parents[2] / "docs" / "deploy" / "onnx_example.py"
K, ROWS, ASKED, LENGTH = 20, 1000, 200, 50
TIES, CLOSE = 1e-6, 1e-5
ENSEMBLE = ("EASE()", "MultVAE(epochs=2)", "ItemKNN()")


def histories(n_items: int, seed: int = 1) -> list[np.ndarray]:
    """1,000 lists of columns; those outside 0..n_items-1 are unknown."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(ROWS):
        kind, most = number % 20, max(n_items - K - 1, 1)
        length = int(np.exp(generator.uniform(0, np.log(min(2000, most)))))
        row = generator.permutation(n_items)[: most if kind == 3 and number < 100 else length]
        if kind == 0:
            row = row[:0]
        elif kind == 1:
            row = np.array([-1, n_items, 2**40])
        elif kind == 2:
            row = np.concatenate([[-1], row, [n_items]])
        found.append(row.astype(np.int64))
    return found


def as_csr(rows: Sequence[np.ndarray], n_items: int) -> Any:
    """The known items of lists of columns, (rows, n_items) of ones."""
    kept = [np.unique(row[(row >= 0) & (row < n_items)]) for row in rows]
    indptr = np.cumsum([0, *map(len, kept)])
    columns = np.concatenate([np.empty(0, np.int64), *kept])
    return sp.csr_matrix(
        (np.ones(len(columns), np.float32), columns, indptr), shape=(len(rows), n_items)
    )


def as_inputs(rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of the file for lists of columns."""
    items = np.concatenate([np.empty(0, np.int64), *rows])
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return {"items": items, "offsets": offsets, "k": np.array([K])}


def compare(model: Recommender, session: Any, rows: Sequence[np.ndarray]) -> dict[str, Any]:
    """Rows with other items, and the largest difference of scores, both as the docstring says."""
    other, worst, step = 0, 0.0, 100
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        matrix = as_csr(some, len(model.items_))
        items, scores = session.run(None, as_inputs(some))
        expected = model.recommend_array(matrix, K, on_unknown="popular")
        exact = dense(model._score_rows(matrix)).cpu().numpy().copy()
        exact[np.diff(matrix.indptr) == 0] = model._popularity()
        exact[~np.isfinite(exact)] = 0
        largest = np.maximum(np.abs(exact).max(axis=1, keepdims=True), 1e-30)
        filled = expected.items >= 0
        if not np.array_equal(items >= 0, filled):
            other += int((~(np.equal(items >= 0, filled).all(axis=1))).sum())
            continue
        listed = np.take_along_axis(exact, np.maximum(items, 0), axis=1)
        best = np.where(filled, expected.scores, 0)
        apart = np.abs(np.where(filled, listed, 0) - best) / largest
        other += int(((items != expected.items) & (apart > TIES)).any(axis=1).sum())
        worst = max(worst, float((np.abs(np.where(filled, scores, 0) - best) / largest).max()))
    return {"rows": len(rows), "rows_with_other_items": other, "largest_difference": worst}


def times(calls: dict[str, Callable[[int], Any]]) -> dict[str, dict[str, float]]:
    """Milliseconds of calls with a number of a history, in turn: median and 99th percentile."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-10, ASKED):
        for name, call in calls.items():
            start = time.perf_counter()
            call(number % ASKED)
            if number >= 0:
                taken[name].append(1000 * (time.perf_counter() - start))
    return {
        name: {"p50": round(float(np.median(t)), 3), "p99": round(float(np.percentile(t, 99)), 3)}
        for name, t in taken.items()
    }


def environment(folder: Path) -> tuple[Path, list[str]]:
    """A new virtual environment with numpy and ONNX Runtime: its Python, and what is installed."""
    import onnxruntime

    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pinned = [f"numpy=={np.__version__}", f"onnxruntime=={onnxruntime.__version__}"]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *pinned], check=True)
    done = subprocess.run([*pip, "freeze"], capture_output=True, text=True, check=True)
    return python, done.stdout.split()


def example_agrees(python: Path, path: Path, model: Recommender) -> bool:
    """Whether the example, run by another Python, prints the list of the model, and nothing else.

    Of items whose scores differ by at most 1e-5 of the largest either may come first.
    """
    history = model.items_.ids[:3].tolist()
    command = [str(python), "-I", str(EXAMPLE), str(path), *map(str, history), "-7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    if done.returncode or done.stderr:
        print(done.stderr, flush=True)
        return False
    printed = [line.split("\t") for line in done.stdout.splitlines()]
    ids, scores = model.recommend_ids(history)
    apart = np.abs(np.array([float(score) for _, score in printed]) - scores)
    close = CLOSE * max(map(abs, scores)) + 5e-5  # it prints four digits
    listed = {item for item, _ in printed}
    return len(printed) == len(ids) == len(listed) and bool((apart <= close).all())


def one_model(model: Recommender, folder: Path, python: Path | None = None) -> dict[str, Any]:
    """Writes a fitted model, compares, and measures. python: runs the example, too."""
    import onnxruntime

    n = len(model.items_)
    loaded = recae.load(model.save(folder / "model", overwrite=True), Recommender)
    start = time.perf_counter()
    path = loaded.to_onnx(folder / "model.onnx", overwrite=True)
    wrote = time.perf_counter() - start
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(2)
    one = [generator.permutation(n)[:LENGTH].astype(np.int64) for _ in range(ASKED)]
    feeds, matrices = [as_inputs([row]) for row in one], [as_csr([row], n) for row in one]
    calls: dict[str, Callable[[int], Any]] = {
        "recommend_array": lambda number: loaded.recommend_array(matrices[number], K),
        "onnx": lambda number: session.run(None, feeds[number]),
    }
    if hasattr(loaded, "recommend_ids"):
        ids = [loaded.items_.decode(row).tolist() for row in one]
        calls["recommend_ids"] = lambda number: loaded.recommend_ids(ids[number], K)
    found = compare(loaded, session, histories(n))
    if python is not None:
        found["example_agrees"] = example_agrees(python, path, loaded)
    size = sum(file.stat().st_size for file in path.parent.glob("model.onnx*"))
    return {**found, "bytes": size, "seconds_to_write": round(wrote, 2), "ms": times(calls)}


def fitted(name: str, data: Interactions, epochs: int) -> Recommender:
    """A model with its default settings, but few epochs."""
    cls = recae.MODELS[name]
    settings: dict[str, Any] = {"members": ENSEMBLE} if name == "ensemble" else {}
    if "epochs" in cls.param_fields():
        settings["epochs"] = epochs
    return cls(**settings).fit(data, progress=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each model. Returns 1 if one of them has other lists or scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="names of models (default: all)")
    parser.add_argument("--epochs", type=int, default=2, help="of a neural model")
    parser.add_argument("--synthetic", type=int, metavar="ITEMS", help="random data with as many")
    parser.add_argument("--fresh", action="store_true", help="run the example without torch")
    parser.add_argument("--out", type=Path, help="folder of the kept result")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore", recae.RecaeWarning)
    torch.set_num_threads(1)
    synthetic = options.synthetic
    data = planted(synthetic) if synthetic else recae.load_dataset("ml-latest-small").interactions
    found: dict[str, Any] = {}
    place = Path(tempfile.mkdtemp(prefix="recae-onnx-"))
    try:
        python, packages = environment(place / "fresh") if options.fresh else (None, [])
        for name in options.models or recae.MODELS:
            try:
                found[name] = one_model(fitted(name, data, options.epochs), place, python)
            except ConfigError as error:
                found[name] = {"refused": str(error)}
                print(f"{name:<14} {error}", flush=True)
                continue
            row = found[name]
            size = f"{row['bytes'] / 1e6:.1f} MB"
            if python is not None:
                size += f", example {'agrees' if row['example_agrees'] else 'DIFFERS'}"
            shown = ", ".join(f"{who} {ms['p50']} / {ms['p99']}" for who, ms in row["ms"].items())
            print(
                f"{name:<14} {row['rows_with_other_items']} of {row['rows']} lists differ, scores "
                f"by {row['largest_difference']:.1e}; {size}; ms p50 / p99: {shown}",
                flush=True,
            )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    written = [row for row in found.values() if "rows" in row]
    bad = [
        row
        for row in written
        if row["rows_with_other_items"]
        or row["largest_difference"] > CLOSE
        or not row.get("example_agrees", True)
    ]
    suite = f"onnx-{synthetic}-items" if synthetic else "onnx"
    if not options.models or options.out:
        about = {"suite": "onnx", "items": data.n_items, "k": K, "models": found}
        if options.fresh:
            about["environment of the example"] = packages
        print(f"kept in {keep(suite, about, options.out)}")
    print(f"{len(written)} models written, {len(bad)} with other lists or scores")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
