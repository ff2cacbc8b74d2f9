"""The space that errors of item vectors are measured in, and its leading directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recae.apply.compress.pursuit import nearest, table

SEEN = 1e-3
"""What users see of a direction is at least this share of the mean over directions."""


@dataclass(frozen=True)
class Space:
    """Where errors are measured: x = (v - centre) root, of which the longest has length one.

    root^2 is in proportion to the users' second moment, or to the identity.
    """

    centre: np.ndarray
    root: np.ndarray
    inverse: np.ndarray

    @staticmethod
    def of(vectors: np.ndarray, users: np.ndarray | None) -> Space:
        centre = vectors.mean(axis=0, dtype=np.float64)
        root = inverse = np.eye(vectors.shape[1])
        if users is not None:
            wide = users.astype(np.float64)
            seen, directions = np.linalg.eigh(wide.T @ wide / len(wide))
            seen = np.sqrt(np.maximum(seen, SEEN * seen.mean()))
            root, inverse = (directions * seen) @ directions.T, (directions / seen) @ directions.T
        # No square of a row shall leave the range of float32.
        longest = float(np.linalg.norm((vectors - centre) @ root, axis=1).max()) or 1.0
        return Space(centre.astype(np.float32), root / longest, inverse * longest)

    def inwards(self, vectors: np.ndarray) -> np.ndarray:
        rows: np.ndarray = ((vectors - self.centre) @ self.root).astype(np.float32)
        return rows

    def within(self, directions: np.ndarray) -> Tensor:
        """Directions of the original space in this one, (rows, width) float32."""
        return torch.from_numpy((directions @ self.root).astype(np.float32))

    def outwards(self, directions: Tensor) -> np.ndarray:
        out: np.ndarray = directions.numpy().astype(np.float64) @ self.inverse
        return out


@dataclass(frozen=True)
class Head:
    """The leading directions, which every item has: a byte for each."""

    directions: Tensor  # (dense, width)
    levels: Tensor  # (dense, 256)
    places: Tensor  # (n, dense)

    @staticmethod
    def of(rows: Tensor, dense: int) -> Head:
        wide = rows.double()
        directions = torch.linalg.eigh(wide.t() @ wide).eigenvectors.flip(1)[:, :dense].t().float()
        values = rows @ directions.t()
        empty = torch.zeros(0, 256)
        levels = torch.stack([table(v, 8) for v in values.t()]) if dense else empty
        places = torch.zeros(len(rows), dense, dtype=torch.int64)
        for j in range(dense):
            places[:, j] = nearest(values[:, j].contiguous(), levels[j])
        return Head(directions, levels, places)

    def rebuilt(self, directions: Tensor | None = None) -> Tensor:
        """What the bytes stand for, (n, width); in other directions if some are given."""
        values = self.levels[torch.arange(len(self.levels)), self.places]
        return values @ (self.directions if directions is None else directions)
