"""SparseAutoencoder: a dictionary of many units, few of which describe an example."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.nn import (
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
    SignedTopUnits,
    UsageCounter,
    revive,
    transposed_start,
)
from recae.rng import Stream, torch_generator
from recae.training import BeforeEpoch
from recae.training.objective import Objective
from recae.transformers.base import Transformer
from recae.transformers.body import Body
from recae.transformers.examples import Examples
from recae.transformers.losses import empty_loss

REVIVE_ROWS = 2048
"""Examples among which the worst explained are looked for."""

REVIVE_CELLS = 1 << 24
"""Numbers that these may hold."""

COUNTED = ("top-k", "signed-top-k", "batch-top-k", "jump-relu")

SHARE = {"kl": 1.0, "jump-relu": 4.0}
"""What a penalty of 1 costs at beta = 1, beside what there is to explain: enough that codes are as
sparse as they were asked to be, within some hundredths (jump-relu) or a quarter (kl)."""


@estimator
class SparseAutoencoder(Transformer):
    """An autoencoder whose code has many units, of which few are active for an example.

    z = sparse(encoder(x)), f(x) = sum_j z_j w_j + b with every |w_j| = 1 (but for kl); loss = sum_i
    (f_i - x_i)^2 or another, plus beta x penalty(z). With hidden=(), the default, the w_j are a
    dictionary in the space of the examples: `dictionary_` (latent, features).

    top-k: the `active` largest units stay, where above 0 (Makhzani & Frey 2014; Gao et al. 2024).
    signed-top-k: the `active` largest without their sign, which they keep (CompresSAE, Kasalický
    et al. 2025). batch-top-k: `active` on average over a batch in training; afterwards all above a
    threshold learnt there (Bussmann et al. 2024). jump-relu: units above thresholds of their own,
    which are learnt so that about `active` are on average: penalty (mean number / active - 1)^2
    (Rajamanoharan et al. 2024). l1: z = max(h, 0) with penalty |z|; how many units stay depends on
    beta. kl: z = sigma(h) shifted, with penalty sum_j KL(rate || mean of z_j) (Ng 2011); a unit is
    near zero and never there, and w_j has any length. The penalties of jump-relu and kl count in
    units of what there is to explain, the loss of an output of zeros.

    Units that no example of an epoch made active are, with `revive`, pointed at the examples
    explained worst (Bricken et al. 2023), an eighth of all units at a time, until nine tenths of
    the epochs are over. An epoch costs
    about 6 x examples x weights operations. Raises ConfigError if more units shall be active than
    there are.

    >>> X = np.random.default_rng(0).normal(size=(20, 6))
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
        "what makes the code sparse", default="top-k", choices=(*COUNTED, "l1", "kl")
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
    revive: bool = param("whether dead units are pointed at what is explained worst", default=True)

    def check_params(self) -> None:
        super().check_params()
        if self.sparsity in COUNTED and self.active > self.latent:
            raise ConfigError(
                f"active={self.active} units cannot be active of the latent={self.latent} there "
                "are: lower active or raise latent"
            )

    @property
    def dictionary_(self) -> Any:
        """What each unit adds to an example for each unit of its code, (latent, features) float32.

        In the units of the examples. Raises ConfigError with hidden layers or convolutions, between
        which and the examples there is more than a sum; NotFittedError before fit.

        >>> X = np.random.default_rng(0).normal(size=(20, 6))
        >>> recae.SparseAutoencoder(latent=8, active=2, epochs=1).fit(X).dictionary_.shape
        (8, 6)
        """
        self._check_fitted()
        if self.hidden or self.channels:
            raise ConfigError("there is a dictionary with hidden=() and channels=() only")
        atoms = _atoms(self.network_).detach().t()
        if self.sparsity != "kl":
            atoms = torch.nn.functional.normalize(atoms, dim=1)
        return (atoms * self.scaling_.scale).cpu().numpy()

    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
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
            return SHARE[self.sparsity] * self.beta * empty_loss(self.loss, batch.target)

        return Objective(self.loss, {"sparsity": weight})

    def _before_epoch(self, examples: Examples, seed: int) -> BeforeEpoch | None:
        if not self.revive or self.sparsity not in COUNTED:
            return None
        last = int(0.9 * self.epochs)

        def rebind_parameters(net: AutoencoderNet, number: int) -> list[nn.Parameter]:
            if number == 1:  # what was counted is of the network before training
                cast(UsageCounter, net.code).used.zero_()
            if number == 1 or number > last:
                return []
            return _revive(net, examples, torch_generator(seed, Stream.REVIVED_UNITS, number))

        return rebind_parameters


class _Dictionary(AutoencoderNet):
    """A network whose encoder begins as the transpose of its decoder, where they fit."""

    def initialise(self, generator: torch.Generator) -> None:
        super().initialise(generator)
        weight, atoms = cast(Any, self.encoder)[-1], _atoms(self)
        if getattr(weight, "weight", None) is not None and weight.weight.shape == atoms.shape:
            transposed_start(weight.weight, atoms)


def _atoms(net: AutoencoderNet) -> nn.Parameter:
    """The weight whose columns are what the units say, (n_out, units)."""
    decoder = cast(Decoder, net.decoder)
    layers = list(cast(nn.Sequential, decoder.layers))
    first: Any = layers[0] if layers else getattr(decoder.head, "first", decoder.head)
    atoms: nn.Parameter = first.weight
    return atoms


def _revive(
    net: AutoencoderNet, examples: Examples, generator: torch.Generator
) -> list[nn.Parameter]:
    """Points dead units at what is explained worst; the parameters overwritten, if any were."""
    code, last = cast(UsageCounter, net.code), cast(Any, net.encoder)[-1]
    if bool((code.used > 0).all()):
        code.used.zero_()
        return []
    features = math.prod(examples.shape)
    count = min(len(examples), REVIVE_ROWS, max(REVIVE_CELLS // features, 1))
    chosen = torch.randperm(len(examples), generator=generator)[:count]
    rows = Examples(examples.rows[chosen.numpy() if examples.sparse else chosen]).dense(0, count)
    rows = rows.to(code.used.device)
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
