"""VariationalAutoencoder: a generative model of examples, with a choice of priors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from recae.data.csr import added_up, is_sparse
from recae.errors import ConfigError, DataError, check_integer
from recae.estimators.params import estimator, learnt, param
from recae.nn import (
    DENSE_LOSSES,
    AutoencoderNet,
    Batch,
    Mixture,
    NoCorruption,
    PosteriorOf,
    StandardNormal,
    Vamp,
    Variational,
    draw,
    log_density,
)
from recae.nn.batch import bag
from recae.rng import Stream, check_seed, torch_generator
from recae.system.threads import survives_fork
from recae.training import ArrayLoader, Loader, Objective, annealed
from recae.transformers.base import Transformer
from recae.transformers.body import Body
from recae.transformers.examples import Examples
from recae.transformers.fitted import dense_target

VALIDATION_DRAWS = 4
"""Codes drawn for each validation example after an epoch."""

FREQUENCY = 16.0
"""Periods of the shift of the noise for a change of a scaled example by 1."""

EDGE = 1e-9
"""Uniform numbers are held this far from 0 and 1, where normal numbers would be infinite."""

Noise = Callable[[Batch], Iterator[Tensor]]


@estimator
class VariationalAutoencoder(Transformer):
    """A latent variable model: z ~ p(z), x ~ p(x | z), fitted through a posterior q(z | x).

    loss = -log p(x | z) + beta KL(q(z | x) || p(z)) with z drawn from q(z | x) = N(mu(x),
    sigma(x)^2); beta = 1 is the evidence bound of Kingma & Welling (ICLR 2014), other values are
    beta-VAE (Higgins et al. 2017). p(x | z) is a normal with one learnt variance ("gaussian":
    sigma-VAE, Rybkin et al. 2021), a Bernoulli for each feature ("logistic"), or a multinomial.

    prior "standard": N(0, 1). "mixture": `components` Gaussians, learnt. "vamp": the mean of the
    posteriors of `components` learnt pseudo-inputs, which start as examples (Tomczak & Welling
    2018). anneal: beta rises over that share of the updates. free_bits: nats of KL per dimension
    that cost nothing (Kingma et al. 2016), with the standard prior.

    `transform` returns mu. `score_samples` is an importance-weighted bound of log p(x) in nats
    (Burda, Grosse & Salakhutdinov 2016). `sample` draws new examples, `interpolate` decodes codes
    between those of two examples. An epoch takes about 6 x examples x weights operations, and with
    "vamp" also those of encoding the pseudo-inputs in every batch.

    >>> recae.VariationalAutoencoder(latent=2, epochs=2).fit(X).sample(3).shape
    (3, 6)
    """

    loss: str = param(
        "the likelihood of an example given its code",
        default="gaussian",
        choices=("gaussian", "logistic", "multinomial"),
    )
    beta: float = param("final weight of the KL term", default=1.0, low=0, usual=(0.1, 4))
    anneal: float = param(
        "share of the updates over which beta rises from 0", default=0.0, low=0, high=1
    )
    free_bits: float = param("nats free of charge for each dimension", default=0.0, low=0)
    prior: str = param(
        "the prior of the code", default="standard", choices=("standard", "mixture", "vamp")
    )
    components: int = param("mixture, vamp: parts of the prior", default=100, low=1)
    binarise: bool = param(
        "logistic: draw every feature as 0 or 1 in every epoch, with its value as probability "
        "(dynamic binarisation)",
        default=False,
    )
    samples: int = param(
        "draws from the posterior for each example in `score_samples`", default=16, low=1
    )

    noise_variance_: float = learnt()
    numbers: ClassVar[tuple[str, ...]] = ("noise_variance_",)

    def check_params(self) -> None:
        """Also checks settings that exclude each other. Raises ConfigError.

        >>> recae.VariationalAutoencoder(loss="logistic", binarise=True).check_params()
        """
        super().check_params()
        if not self.hidden:
            raise ConfigError(
                "hidden of VariationalAutoencoder must name at least one width, such as (256,)",
                parameter="hidden",
                value=self.hidden,
            )
        if self.binarise and self.loss != "logistic":
            raise ConfigError(
                f"binarise=True of VariationalAutoencoder needs loss='logistic', not {self.loss!r}",
                parameter="binarise",
                value=self.binarise,
            )
        if self.free_bits and self.prior != "standard":
            raise ConfigError(
                f"free_bits={self.free_bits} needs prior='standard', whose KL is a sum over "
                f"dimensions; with prior={self.prior!r} set it to 0",
                parameter="free_bits",
                value=self.free_bits,
            )

    def _loader(self, examples: Examples, seed: int) -> Loader:
        if not self.binarise:
            return super()._loader(examples, seed)
        if examples.sparse:
            raise ConfigError(
                "binarise=True of VariationalAutoencoder needs dense examples, not sparse",
                parameter="binarise",
                value=self.binarise,
            )
        return ArrayLoader(examples.rows, None, self.batch_size, seed, binarise=True)

    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
        """The network with its prior; the first pseudo-inputs of a Vamp prior are examples drawn
        with replacement."""
        encoder = body.features()
        code = Variational(
            self.hidden[-1], self.latent, StandardNormal(self.latent), free_bits=self.free_bits
        )
        if self.prior == "mixture":
            code.prior = Mixture(self.latent, self.components)
        if self.prior == "vamp":
            high = {"gaussian": None, "logistic": 1.0, "multinomial": math.inf}[self.loss]
            bounds = None if high is None else (0.0, high)
            if not examples.sparse and examples.rows.is_meta:  # loading a saved model
                first = torch.empty(self.components, math.prod(examples.shape))
            else:  # the first pseudo-inputs: examples drawn with replacement
                generator = torch_generator(seed, Stream.PSEUDO_INPUTS)
                drawn = torch.randint(len(examples), (self.components,), generator=generator)
                first = examples.dense(drawn).float()
            code.prior = Vamp(first, PosteriorOf(encoder, code), bounds)
        return AutoencoderNet(
            corrupt=NoCorruption(), encoder=encoder, code=code, decoder=body.decoder(self.latent)
        )

    def _objective(self, updates: int) -> Objective:
        return Objective(self.loss, {"kl": annealed(self.beta, self.anneal, updates)})

    def _after(self, examples: Examples, seed: int) -> None:
        """Estimates the variance of p(x | z) by maximum likelihood, in scaled units."""
        self.noise_variance_ = 1.0
        if self.loss != "gaussian":
            return
        net, generator = self.network_, torch_generator(seed, Stream.LIKELIHOOD)

        def errors(batch: Batch) -> Tensor:
            z = draw(*self._posterior(net, batch), generator)
            return DENSE_LOSSES["squared"](net.decoder(z, batch).dense(), dense_target(batch))

        total = self._by_batch(net, examples, errors).mean(dtype=np.float64)
        self.noise_variance_ = max(float(total) / self.n_features_in_, 1e-6)

    @survives_fork
    def log_likelihood(self, X: Any, *, samples: int | None = None, seed: int = 0) -> np.ndarray:
        """A lower bound of log p(x) of each example in nats, (n,) float32, tight for many samples.

        log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x) with K = samples draws from q(z | x) (Burda et
        al. 2016, eq. 8). The draws of an example depend on its numbers and the seed, not on the
        other examples. They are nearly independent between examples, so that in the mean over many
        examples the noise of the draws averages out. The expectation grows with `samples`. With
        loss "gaussian" a density in the units of the examples; with "logistic" on grey values a
        cross entropy, not a probability. Raises ConfigError for bad options, DataError and
        NotFittedError as `transform` does.

        >>> X = (np.eye(6) > 0) * 1.0
        >>> model = recae.VariationalAutoencoder(latent=2, epochs=1, loss="logistic").fit(X)
        >>> bool((model.log_likelihood(X, samples=4) < 0).all())
        True
        """
        samples = self.samples if samples is None else check_integer("samples", samples)
        examples = self._read(X)
        net, seed = self.network_, check_seed(seed)
        draws = self._draws(net, self._own_noise(samples, seed))

        def bound(batch: Batch) -> Tensor:
            target = dense_target(batch)
            parts = [self._log_likelihood_given(output, target) - kl for output, kl in draws(batch)]
            return torch.stack(parts).logsumexp(0) - math.log(samples)

        found = self._by_batch(net, examples, bound)
        if self.loss == "gaussian":  # the Jacobian of the scaling
            found = found - self.n_features_in_ * math.log(self.scaling_.scale)
        return np.asarray(found, dtype=np.float32)

    def score_samples(self, X: Any) -> np.ndarray:
        """`log_likelihood` with `samples` draws, (n,) float32. Raises what it raises.

        >>> recae.VariationalAutoencoder(latent=2, epochs=1).fit(X).score_samples(X).shape
        (100,)
        """
        return self.log_likelihood(X)

    @survives_fork
    def sample(self, n: int, *, seed: int = 0) -> np.ndarray:
        """New examples: the means of p(x | z) for z drawn from the prior, (n, *shape) float32.

        Raises ConfigError for n below 1 or a bad seed, NotFittedError before fit.

        >>> recae.VariationalAutoencoder(latent=2, epochs=1).fit(X).sample(2, seed=3).shape
        (2, 6)
        """
        self._check_fitted()
        n = check_integer("n", n)
        generator = torch_generator(check_seed(seed), Stream.GENERATED)
        net = self.network_
        where = next(net.parameters()).device
        net.to("cpu")  # the same codes on every device
        try:
            with torch.no_grad():
                z = cast(Variational, net.code).prior.sample(n, generator)
        finally:
            net.to(where)
        return self.inverse_transform(z)

    @survives_fork
    def interpolate(self, a: Any, b: Any, steps: int = 8) -> np.ndarray:
        """Decodes codes between those of two examples, (steps, *shape) float32.

        a, b: one example each, (*shape) or (1, *shape). The codes are on the straight line from
        mu(a) to mu(b), both included. Raises ConfigError for fewer than 2 steps, DataError and
        NotFittedError as `transform` does.

        >>> recae.VariationalAutoencoder(latent=2, epochs=1).fit(X).interpolate(X[0], X[1], 5).shape
        (5, 6)
        """
        self._check_fitted()
        steps = check_integer("steps", steps, 2)
        ends = [self._codes(_one(end, self.shape_)) for end in (a, b)]
        share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        return self.inverse_transform((1 - share) * ends[0] + share * ends[1])

    def _posterior(self, net: AutoencoderNet, batch: Batch) -> tuple[Tensor, Tensor]:
        return cast(Variational, net.code).posterior(net.encoder(batch.input))

    def _shared_noise(self, samples: int, seed: int) -> Noise:
        """Batch -> for each draw the same normal numbers for every row, (latent,)."""
        generator = torch_generator(seed, Stream.LIKELIHOOD)
        noise = torch.randn(samples, self.latent, generator=generator)
        return lambda batch: iter(noise)

    def _own_noise(self, samples: int, seed: int) -> Noise:
        """Batch -> for each draw normal numbers from the content of each row, (rows, latent).

        Uniform numbers, the same for every row, are shifted modulo 1 by a random projection of the
        row (as Cranley & Patterson 1976 shift by a random number). So each is uniform over the
        seeds, and nearly independent between rows that differ by more than 1 / `FREQUENCY`. A
        rounding error in a row changes them only a little.
        """
        generator = torch_generator(seed, Stream.LIKELIHOOD)
        normal = torch.randn(samples, self.latent, generator=generator)
        uniform = torch.special.ndtr(normal.double())
        size = (self.n_features_in_, self.latent)
        turns = FREQUENCY * torch.randn(size, generator=generator, dtype=torch.float64)

        def noise(batch: Batch) -> Iterator[Tensor]:
            x = batch.input
            if isinstance(x, Tensor):
                shift = x.double() @ turns.to(x.device)  # (rows, latent)
            else:
                shift = bag(turns.to(x.values.device), x.with_values(x.values.double()))
            for place in uniform.to(shift.device):
                u = (place + shift).remainder(1.0).clamp(EDGE, 1 - EDGE)
                yield torch.special.ndtri(u).float()

        return noise

    def _draws(
        self, net: AutoencoderNet, noise: Noise
    ) -> Callable[[Batch], Iterator[tuple[Tensor, Tensor]]]:
        """Batch -> for each draw z from q(z | x) the output of the decoder, (rows, features), and
        log q(z | x) - log p(z), (rows,)."""
        with torch.no_grad():
            log_prior = cast(Variational, net.code).prior.density()

        def draws(batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
            mu, log_variance = self._posterior(net, batch)
            for eps in noise(batch):
                z = mu + eps.to(mu.device) * (0.5 * log_variance).exp()
                output: Tensor = net.decoder(z, batch).dense()
                yield output, log_density(z, mu, log_variance) - log_prior(z)

        return draws

    def _log_likelihood_given(self, output: Tensor, target: Tensor) -> Tensor:
        """log p(x | z) of each row in scaled units, (rows,)."""
        if self.loss != "gaussian":
            return -DENSE_LOSSES[self.loss](output, target)
        squares = (output - target).square().sum(1) / self.noise_variance_
        return -0.5 * (squares + target.shape[1] * math.log(2 * math.pi * self.noise_variance_))

    def _losses(self, net: AutoencoderNet, examples: Examples, seed: int) -> np.ndarray:
        """Minus the evidence bound (beta = 1) of each scaled example from a few draws, (n,)."""
        kind = "squared" if self.loss == "gaussian" else self.loss
        draws = self._draws(net, self._shared_noise(VALIDATION_DRAWS, seed))

        def loss_and_kl(batch: Batch) -> Tensor:
            loss, target = DENSE_LOSSES[kind], dense_target(batch)
            parts = [torch.stack([loss(output, target), kl], 1) for output, kl in draws(batch)]
            return torch.stack(parts).mean(0)

        found = self._by_batch(net, examples, loss_and_kl)
        losses, kl = found[:, 0], found[:, 1]
        if self.loss == "gaussian":
            features = math.prod(examples.shape)
            variance = max(float(losses.mean(dtype=np.float64)) / features, 1e-6)
            losses = 0.5 * (losses / variance + features * math.log(2 * math.pi * variance))
        return np.asarray(losses + kl, dtype=np.float32)


def _one(example: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One example as an array of one row. Raises DataError for another shape."""
    if is_sparse(example):
        example = added_up(example).toarray()
    try:
        array = np.asarray(example.detach().cpu() if isinstance(example, Tensor) else example)
    except (ValueError, TypeError) as error:
        raise DataError(f"an example has the shape {shape}: {error}") from error
    if array.shape not in (shape, (1, *shape)):
        raise DataError(f"an example has the shape {shape}; this one has {array.shape}")
    return array.reshape(1, *shape)
