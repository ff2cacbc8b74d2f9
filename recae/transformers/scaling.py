"""Centres and scales examples, so that one learning rate suits data in any units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recae.errors import DataError
from recae.system.machine import row_batches
from recae.transformers.examples import Examples

SHIFTED = ("squared", "gaussian")
"""Losses under which examples may be centred and scaled."""

CHUNK = 4096
"""Rows converted to float64 at a time."""

ROUNDING = 1e-24
"""A variance below this share of the mean square counts as rounding error."""


@dataclass(frozen=True)
class Scaling:
    """(x - centre) / scale under the losses "squared" and "gaussian", x under the others.

    centre: the features' means, (features,) float64; None for sparse examples, which stay sparse.
    scale: one number for all features, the root of their mean variance, which keeps their relative
    importance. start: the initial biases of the output, (features,) float32, which make the first
    reconstruction the mean of each feature.
    """

    centre: Tensor | None
    scale: float
    start: Tensor | None

    @classmethod
    def of(cls, examples: Examples, loss: str) -> Scaling:
        """The scaling of examples under a loss."""
        mean = column_means(examples)
        if loss == "logistic":
            return cls(None, 1.0, torch.logit(mean, eps=1e-4).float())
        if loss == "multinomial":
            return cls(None, 1.0, mean.clamp_min(float(mean.mean()) * 1e-3).log().float())
        if loss not in SHIFTED:
            return cls(None, 1.0, None)
        scale = variance(examples) ** 0.5 or 1.0
        if examples.sparse:
            return cls(None, scale, (mean / scale).float())
        return cls(mean, scale, None)

    def apply(self, examples: Examples) -> Examples:
        """Scaled float32 examples, flattened to (n, features) if dense.

        Raises DataError for sparse examples where a centre would fill them.
        """
        if examples.sparse:
            if self.centre is not None:
                raise DataError("this model was fitted on dense examples: give X.toarray()")
            matrix = examples.rows
            if self.scale != 1:
                data = (matrix.data / self.scale).astype(np.float32)
                parts = data, matrix.indices, matrix.indptr
                matrix = scipy.sparse.csr_matrix(parts, shape=matrix.shape)
            return Examples(matrix, examples.names)
        rows = examples.rows.flatten(1)
        if self.centre is None and self.scale == 1:
            return Examples(rows.float(), examples.names)
        scaled = torch.empty(rows.shape, dtype=torch.float32)
        for at, part in _parts(rows):
            centred = part if self.centre is None else part - self.centre
            scaled[at] = (centred / self.scale).float()
        return Examples(scaled, examples.names)

    def undo(self, rows: np.ndarray) -> np.ndarray:
        """The inverse: scaled (n, features) as float32 in the units of the examples."""
        if self.scale != 1:
            rows = rows * np.float32(self.scale)
        if self.centre is not None:
            rows = rows + self.centre.numpy()
        return rows.astype(np.float32, copy=False)

    def arrays(self) -> dict[str, Tensor]:
        """For saving."""
        arrays = {"scaling.scale": torch.tensor(self.scale, dtype=torch.float64)}
        if self.centre is not None:
            arrays["scaling.centre"] = self.centre
        return arrays

    @classmethod
    def restored(cls, arrays: Mapping[str, Tensor], features: int) -> Scaling:
        """The inverse of `arrays`, without `start`.

        Raises ValueError or KeyError for invalid arrays.
        """
        centre = arrays.get("scaling.centre")
        if centre is not None:
            if centre.shape != (features,) or not bool(centre.isfinite().all()):
                raise ValueError(f"the centre of the examples is not {features} finite numbers")
            centre = centre.double()
        return cls(centre, positive(float(arrays["scaling.scale"]), "scale"), None)


def positive(value: object, name: str) -> float:
    """A finite number above 0 from a file. Raises ValueError for anything else."""
    if type(value) not in (int, float) or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise ValueError(f"{name} is {value!r}, not a finite number above 0")
    return float(value)  # type: ignore[arg-type]


def column_means(examples: Examples) -> Tensor:
    """The features' means, (features,) float64."""
    if examples.sparse:
        sums = np.asarray(examples.rows.sum(axis=0, dtype=np.float64)).ravel()
        return torch.from_numpy(sums) / len(examples)
    rows = examples.rows.flatten(1)
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for _, part in _parts(rows):
        total += part.sum(0)
    return total / len(examples)


def variance(examples: Examples) -> float:
    """The mean over features of their variance over the examples; 0 if it is rounding error."""
    mean = column_means(examples)
    cells = len(examples) * len(mean)
    if examples.sparse:
        squares = float(np.square(examples.rows.data, dtype=np.float64).sum()) / cells
        spread = squares - float(mean.square().mean())
    else:
        parts = _parts(examples.rows.flatten(1))
        spread = sum(float((part - mean).square().sum()) for _, part in parts) / cells
        squares = spread + float(mean.square().mean())
    return spread if spread > ROUNDING * squares else 0.0


def _parts(rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The rows in float64, some at a time."""
    for at in row_batches(len(rows), 1, CHUNK):
        yield at, rows[at].double()
