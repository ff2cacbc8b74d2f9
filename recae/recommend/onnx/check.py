"""Compares an ONNX file with the model that it was written from, in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.errors import StorageError, warn
from recae.ranking.batches import dense
from recae.ranking.top_k import top_k
from recae.rng import numpy_generator

CLOSE = 1e-5
"""Scores may differ by so much, relative to the largest of their row."""

LENGTHS = (0, 1, 1, 2, 3, 5, 8, 13, 34, 89, 233, 610)
"""Items of the histories that are compared, beside one of all items and an empty one."""

LONGEST = 10_000
"""Items of the longest history that is compared."""


def check(model: Any, path: Path) -> None:
    """Raises StorageError if the file gives other lists than the model; a warning without runtime.

    Compared are random histories and the edges: empty, all items, unknown items, padding,
    repetitions, items that are not allowed, and more places than items.
    """
    try:
        import onnxruntime
    except ImportError:
        warn(
            "the ONNX file is written and was not compared with the model: install ONNX Runtime "
            '(pip install "recae[onnx]") to have that done'
        )
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # inputs with a default are no mistake
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for sample, allowed, k in _samples(model):
            asked = {value.name for value in session.get_overridable_initializers()}
            found = session.run(None, sample.feeds("weights" in asked, allowed, k))
            _compare(model, sample, allowed, k, *found)
    except StorageError:
        raise
    except Exception as error:  # whatever the runtime raises: the file cannot be used
        raise StorageError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run the file that was written of "
            f"{type(model).__name__}: {error}; nothing was changed"
        ) from error


@dataclass(frozen=True)
class Sample:
    """Histories in both forms: CSR (rows, n_items), and the inputs of the file."""

    matrix: Any
    items: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    def feeds(self, weighted: bool, allowed: np.ndarray | None, k: int) -> dict[str, np.ndarray]:
        """The inputs of a call."""
        feeds = {"items": self.items, "offsets": self.offsets, "k": np.array([k])}
        if weighted:
            feeds["weights"] = self.weights
        if allowed is not None:
            feeds["allowed"] = allowed[None]
        return feeds


def _samples(model: Any) -> list[tuple[Sample, np.ndarray | None, int]]:
    """Histories, the items that may be listed, and lengths of lists."""
    generator, n = numpy_generator(0), len(model.items_)
    lengths = [min(length, n) for length in (*LENGTHS, LONGEST)]
    rows = [generator.permutation(n)[:length] for length in lengths]
    entries = [np.array([-1, n]), *rows, np.concatenate([rows[5], rows[5], [-1] * 3])]
    weights = [generator.integers(1, 6, len(row)) for row in entries]
    many = _sample(n, entries, weights)  # a model that uses no weights ignores them
    none = _sample(n, [], [])
    allowed = generator.random(n) < 0.5
    one = _sample(n, entries[5:6], [np.ones(len(entries[5]))])
    return [(many, None, 20), (many, allowed, 7), (none, None, 3), (one, None, n + 3)]


def _sample(n: int, rows: list[np.ndarray], weights: list[np.ndarray]) -> Sample:
    lengths = [len(row) for row in rows]
    items = np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64)
    values = np.concatenate([np.empty(0), *weights]).astype(np.float32)
    cells = np.repeat(np.arange(len(rows)), lengths) * n + items
    known = np.flatnonzero((items >= 0) & (items < n))[::-1]
    distinct, last = np.unique(cells[known], return_index=True)
    entries = values[known][last], np.divmod(distinct, max(n, 1))
    matrix = sp.csr_matrix(entries, shape=(len(rows), n))
    return Sample(matrix, items, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), values)


def _compare(
    model: Any,
    sample: Sample,
    allowed: np.ndarray | None,
    k: int,
    items: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Raises StorageError unless the lists are those of the model, up to ties within `CLOSE`."""
    exact = dense(model._score_rows(sample.matrix)).cpu().clone()
    empty = torch.from_numpy(np.diff(sample.matrix.indptr) == 0)
    exact[empty] = torch.from_numpy(model._popularity().astype(np.float32))
    expected = top_k(exact, k, exclude=sample.matrix, allowed=allowed)
    finite = torch.where(exact.isfinite(), exact, 0)
    largest = finite.abs().amax(1, keepdim=True).numpy() if exact.numel() else np.zeros((0, 1))
    own = np.take_along_axis(exact.numpy(), np.maximum(items, 0), axis=1)
    filled = expected.items >= 0
    name, same = type(model).__name__, np.array_equal(items >= 0, filled)
    if items.shape != filled.shape or not same or (scores[~filled] > -np.inf).any():
        raise StorageError(f"the ONNX file lists other items than this {name}: nothing was changed")
    with np.errstate(invalid="ignore"):
        off = [np.where(filled, np.abs(own - other), 0) for other in (scores, expected.scores)]
        worst = [float((o / np.maximum(largest, 1e-30)).max(initial=0)) for o in off]
    listed = np.where(filled, items, -1 - np.arange(k))  # empty places are no repetition
    repeated = any(len(set(row)) < k for row in listed.tolist())
    if worst[0] > CLOSE or worst[1] > 2 * CLOSE or repeated or not np.isfinite(worst).all():
        raise StorageError(
            f"the ONNX file gives other scores than this {name}: they differ by {worst[0]:.1e}, "
            f"relative to the largest of a row, and the lists by {worst[1]:.1e}; {CLOSE:.0e} is "
            "allowed. Nothing was changed"
        )
