"""What only a generative model does: new examples, and ways from one example to another."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from recae.data.csr import is_sparse
from recae.errors import ConfigError, DataError
from recae.estimators.params import estimator
from recae.nn import Variational
from recae.rng import Stream, check_seed, torch_generator
from recae.system.forks import survives_fork
from recae.transformers.base import Transformer
from recae.transformers.fitted import count


@estimator
class Generative(Transformer):
    """A transformer whose code is `Variational`: p(z) can be drawn from."""

    @survives_fork
    def sample(self, n: int, *, seed: int = 0) -> np.ndarray:
        """New examples: the means of p(x | z) for z drawn from the prior, (n, *shape) float32.

        Raises ConfigError for n below 1 or a bad seed, NotFittedError before fit.

        >>> X = np.random.default_rng(0).normal(size=(20, 6))
        >>> recae.VariationalAutoencoder(latent=2, epochs=1).fit(X).sample(2, seed=3).shape
        (2, 6)
        """
        self._check_fitted()
        n = count(n, "n")
        generator = torch_generator(check_seed(seed), Stream.GENERATED)
        net = self.network_
        where = next(net.parameters()).device
        net.to("cpu")  # one seed, the same codes wherever the model is
        try:
            with torch.no_grad():
                z = cast(Variational, net.code).prior.sample(n, generator)
        finally:
            net.to(where)
        return self.inverse_transform(z)

    @survives_fork
    def interpolate(self, a: Any, b: Any, steps: int = 8) -> np.ndarray:
        """One example turning into another, (steps, *shape) float32, both ends reconstructions.

        a, b: one example each, (*shape) or (1, *shape). The codes between are on the straight line
        from mu(a) to mu(b). Raises ConfigError for fewer than 2 steps, DataError and NotFittedError
        as `transform` does.

        >>> X = np.random.default_rng(0).normal(size=(20, 6))
        >>> recae.VariationalAutoencoder(latent=2, epochs=1).fit(X).interpolate(X[0], X[1], 5).shape
        (5, 6)
        """
        self._check_fitted()
        if count(steps, "steps") < 2:
            raise ConfigError(f"steps must be an integer >= 2, not {steps}")
        ends = [self._codes(_one(end, self.shape_)) for end in (a, b)]
        share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        return self.inverse_transform((1 - share) * ends[0] + share * ends[1])


def _one(example: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One example as a row of its own. Raises DataError for several, or another shape."""
    if is_sparse(example):
        example = example.toarray()
    array = np.asarray(example.detach().cpu() if isinstance(example, Tensor) else example)
    if array.shape not in (shape, (1, *shape)):
        raise DataError(f"an example has the shape {shape}; this one has {array.shape}")
    return array.reshape(1, *shape)
