"""Centre and scale of examples: the same numbers in units that every learning rate suits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recae.transformers.examples import Examples

SHIFTED = ("squared", "gaussian")
"""Losses that are of the numbers themselves, and may move with them."""


@dataclass(frozen=True)
class Scaling:
    """(x - centre) / scale of dense examples; sparse ones, and other losses, are left alone.

    centre: (features,), the features' means; scale: one number for all, the root of their mean
    variance, so that features keep their say; start: where the output's biases begin, (features,),
    so that the first thing known is each feature's mean.
    """

    centre: Tensor | None
    scale: float
    start: Tensor | None

    @classmethod
    def of(cls, examples: Examples, loss: str) -> Scaling:
        """The scaling that examples ask for under a loss."""
        mean = column_means(examples)
        if loss in SHIFTED and not examples.sparse:
            scale = float(np.sqrt(cls.variance(examples)))
            return cls(mean, scale if scale > 0 else 1.0, None)
        if loss == "logistic":
            return cls(None, 1.0, torch.logit(mean, eps=1e-4))
        if loss == "multinomial":
            return cls(None, 1.0, mean.clamp_min(float(mean.mean()) * 1e-3).log())
        return cls(None, 1.0, mean if loss in SHIFTED else None)

    @staticmethod
    def variance(examples: Examples) -> float:
        """The mean over features of their variance over the examples."""
        mean = column_means(examples).double()
        if examples.sparse:
            squares = float(np.square(examples.rows.data, dtype=np.float64).sum())
        else:
            squares = sum(
                float((part.flatten(1).double() - mean).square().sum())
                for part in examples.rows.split(4096)
            )
            return squares / (len(examples) * len(mean))
        return squares / (len(examples) * len(mean)) - float(mean.square().mean())

    def apply(self, examples: Examples) -> Examples:
        """Scaled examples, flattened to (n, features) if dense."""
        if examples.sparse:
            return examples
        rows = examples.rows.flatten(1)
        if self.centre is not None:
            rows = (rows - self.centre) / self.scale
        return Examples(rows, examples.names)

    def undo(self, output: Tensor) -> Tensor:
        """The inverse, on rows of (features,)."""
        if self.centre is None:
            return output
        return output * self.scale + self.centre.to(output.device)

    def unit_of_loss(self, loss: str) -> float:
        """What a squared error in scaled units is in those of the examples."""
        return self.scale**2 if loss == "squared" else 1.0

    def arrays(self) -> dict[str, Tensor]:
        """For saving."""
        arrays = {"scaling.scale": torch.tensor(self.scale, dtype=torch.float64)}
        if self.centre is not None:
            arrays["scaling.centre"] = self.centre
        return arrays

    @classmethod
    def restored(cls, arrays: Mapping[str, Tensor]) -> Scaling:
        """The inverse of `arrays`; where the biases began is of no use any more."""
        return cls(arrays.get("scaling.centre"), float(arrays["scaling.scale"]), None)


def column_means(examples: Examples) -> Tensor:
    """The features' means, (features,) float32."""
    if examples.sparse:
        sums = np.asarray(examples.rows.sum(axis=0, dtype=np.float64)).ravel()
        return torch.from_numpy((sums / len(examples)).astype(np.float32))
    total = sum(part.flatten(1).double().sum(0) for part in examples.rows.split(4096))
    mean: Tensor = (total / len(examples)).float()
    return mean
