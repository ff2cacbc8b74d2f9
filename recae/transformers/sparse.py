"""SparseAutoencoder: a code of many units, with few active units for each example."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.nn import (
    DENSE_LOSSES,
    AutoencoderNet,
    Batch,
    BatchTopUnits,
    Decoder,
    InputLinear,
    JumpReLUCode,
    KLSparseCode,
    L1Code,
    NoCorruption,
    PositiveTopUnits,
    Ragged,
    SignedTopUnits,
    UsageCounter,
    revive,
    transposed_start,
)
from recae.rng import Stream, torch_generator
from recae.training import BeforeEpoch, Objective
from recae.transformers.base import Transformer
from recae.transformers.body import Body
from recae.transformers.examples import Examples

REVIVE_ROWS = 2048
"""Examples among which the worst reconstructed ones are searched."""

REVIVE_CELLS = 1 << 24
"""Numbers that these examples may have together."""

COUNTED = ("top-k", "signed-top-k", "batch-top-k", "jump-relu")

SHARE = {"kl": 1.0, "jump-relu": 4.0}
"""Cost of a penalty of 1 at beta = 1, as a multiple of the loss of outputs of 0. It is large enough
that codes get the requested sparsity, within some hundredths (jump-relu) or a quarter (kl)."""


@estimator
class SparseAutoencoder(Transformer):
    """An autoencoder whose code has many units, of which few are active for an example.

    z = sparse(encoder(x)), f(x) = sum_j z_j w_j + b with every |w_j| = 1 (except for kl); loss =
    sum_i (f_i - x_i)^2 or another, plus beta x penalty(z). With hidden=(), the default, the w_j are
    a dictionary in the space of the examples: `dictionary_` (latent, features).

    top-k: keeps the `active` largest units, if positive (Makhzani & Frey 2014; Gao et al. 2024).
    signed-top-k: keeps the `active` units of largest absolute value, with their sign (CompresSAE,
    Kasalický et al. 2025). batch-top-k: `active` units on average over a batch in training; later
    all units above a threshold learnt there (Bussmann et al. 2024). jump-relu: units above their
    own thresholds, which are learnt so that `active` units pass on average: penalty (mean number /
    active - 1)^2 (Rajamanoharan et al. 2024). l1: z = max(h, 0) with penalty |z|; beta sets the
    sparsity. kl: z = sigma(h) shifted, with penalty sum_j KL(rate || mean of z_j) (Ng 2011); units
    are near zero but never exactly, and w_j has any length. The penalties of jump-relu and kl are
    relative to the loss of an output of zeros.

    With `revive`, units that were inactive for an entire epoch are moved towards the examples with
    the largest reconstruction error (Bricken et al. 2023). This moves at most an eighth of all
    units at a time, during the first nine tenths of the epochs. An epoch takes about 6 x examples x
    weights operations. Raises ConfigError if `active` exceeds `latent`.

    >>> model = recae.SparseAutoencoder(latent=12, active=3, epochs=2).fit(X)
    >>> int((model.transform(X) != 0).sum(axis=1).max())
    3
    """

    latent: int = param("units of the code", default=256, low=1, usual=(64, 4096))
    hidden: tuple[int, ...] = param(
        "widths of the dense layers between example and code; () for a dictionary",
        default=(),
        low=1,
    )
    sparsity: str = param(
        "how the code is made sparse", default="top-k", choices=(*COUNTED, "l1", "kl")
    )
    active: int = param(
        "all but l1 and kl: active units of an example", default=16, low=1, usual=(4, 64)
    )
    beta: float = param(
        "l1, kl, jump-relu: weight of the penalty", default=1.0, low=0, usual=(0.01, 10)
    )
    rate: float = param(
        "kl: mean of a unit over the examples", default=0.05, above=0, high=0.5, usual=(0.01, 0.2)
    )
    revive: bool = param(
        "whether dead units move towards the worst reconstructed examples", default=True
    )

    def check_params(self) -> None:
        super().check_params()
        if self.sparsity in COUNTED and self.active > self.latent:
            raise ConfigError(
                f"active={self.active} exceeds latent={self.latent}: lower active or raise latent",
                parameter="active",
                value=self.active,
            )

    @property
    def dictionary_(self) -> Any:
        """The decoder's vector of each unit, (latent, features) float32, in units of the examples.

        Raises ConfigError with hidden layers or convolutions, whose decoder is not linear;
        NotFittedError before fit.

        >>> recae.SparseAutoencoder(latent=8, active=2, epochs=1).fit(X).dictionary_.shape
        (8, 6)
        """
        self._check_fitted()
        if self.hidden or self.channels:
            raise ConfigError("only hidden=() and channels=() give a dictionary")
        atoms = _atoms(self.network_).detach().t()
        if self.sparsity != "kl":
            atoms = torch.nn.functional.normalize(atoms, dim=1)
        return (atoms * self.scaling_.scale).cpu().numpy()

    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
        """One layer on each side; the atoms of the decoder have unit norm, except with
        sparsity='kl'."""
        codes: dict[str, nn.Module] = {
            "top-k": PositiveTopUnits(self.latent, self.active),
            "signed-top-k": SignedTopUnits(self.latent, self.active),
            "batch-top-k": BatchTopUnits(self.latent, self.active),
            "jump-relu": JumpReLUCode(self.latent, self.active),
            "l1": L1Code(),
            "kl": KLSparseCode(self.rate),
        }
        return _Dictionary(
            corrupt=NoCorruption(),
            encoder=body.encoder(self.latent),
            code=codes[self.sparsity],
            decoder=body.decoder(self.latent, unit=self.sparsity != "kl"),
        )

    def _objective(self, updates: int) -> Objective:
        if self.sparsity not in SHARE:
            return Objective(self.loss, {"sparsity": self.beta})

        def weight(batch: Batch, step: int) -> Tensor:
            return SHARE[self.sparsity] * self.beta * _empty_loss(self.loss, batch.target)

        return Objective(self.loss, {"sparsity": weight})

    def _before_epoch(self, examples: Examples, seed: int) -> BeforeEpoch | None:
        """The hook that revives units that are never used, in the first nine tenths of the
        training; None where units are not counted."""
        if not self.revive or self.sparsity not in COUNTED:
            return None
        last = int(0.9 * self._planned(self._loader(examples, seed)))

        def revive_units(net: AutoencoderNet, number: int) -> list[nn.Parameter]:
            if number == 1:  # the counts are from the network before training
                cast(UsageCounter, net.code).used.zero_()
            if number == 1 or number > last:
                return []
            return _revive(net, examples, torch_generator(seed, Stream.REVIVED_UNITS, number))

        return revive_units


class _Dictionary(AutoencoderNet):
    """A network whose encoder starts as the transpose of its decoder, if their shapes match."""

    def initialise(self, generator: torch.Generator) -> None:
        super().initialise(generator)
        weight, atoms = cast(Any, self.encoder)[-1], _atoms(self)
        if getattr(weight, "weight", None) is not None and weight.weight.shape == atoms.shape:
            transposed_start(weight.weight, atoms)


def _atoms(net: AutoencoderNet) -> nn.Parameter:
    """The decoder weight, with a column for each unit, (n_out, units)."""
    decoder = cast(Decoder, net.decoder)
    layers = list(cast(nn.Sequential, decoder.layers))
    first: Any = layers[0] if layers else getattr(decoder.head, "first", decoder.head)
    atoms: nn.Parameter = first.weight
    return atoms


def _revive(
    net: AutoencoderNet, examples: Examples, generator: torch.Generator
) -> list[nn.Parameter]:
    """Moves dead units towards the largest residuals; returns the parameters it has overwritten."""
    code, last = cast(UsageCounter, net.code), cast(Any, net.encoder)[-1]
    if bool((code.used > 0).all()):
        code.used.zero_()
        return []
    features = math.prod(examples.shape)
    count = min(len(examples), REVIVE_ROWS, max(REVIVE_CELLS // features, 1))
    chosen = torch.randperm(len(examples), generator=generator)[:count]
    rows = examples.dense(chosen).to(code.used.device)
    batch = Batch(rows, rows)
    net.eval()  # a resumed run comes here in training mode
    layers = list(cast(nn.Sequential, net.encoder))[:-1]
    atoms = _atoms(net)
    with torch.no_grad():
        read = nn.Sequential(*layers)(rows)
        residuals = rows - net(batch)[0].dense()
        weight = last.weight if isinstance(last, InputLinear) else last.weight.t()
        dead = revive(code, weight, last.bias, atoms, read, residuals, generator)
    if not len(dead):
        return []
    return [last.weight, last.bias, atoms, *code.revived(dead)]


def _empty_loss(loss: str, target: Ragged | Tensor) -> Tensor:
    """The loss of each row for outputs of 0, (rows,)."""
    if isinstance(target, Tensor):
        return DENSE_LOSSES[loss](torch.zeros_like(target), target)
    if loss == "squared":
        return target.row_sums(target.values.square())
    if loss == "logistic":
        return target.values.new_full((len(target),), target.n_columns * math.log(2))
    return target.row_sums(target.values) * math.log(target.n_columns)
