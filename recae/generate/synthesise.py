"""Synthetic users in one call."""

from __future__ import annotations

from typing import Any

from recae.data import Interactions
from recae.generate.generator import UserGenerator, check_count


def synthesise(
    model: Any,
    n_users: int,
    *,
    data: Interactions | Any = None,
    seed: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Interactions:
    """So many synthetic users from a fitted variational autoencoder, over its items.

    data: the interactions the model was fitted on; None for those it carries. options: those of
    `UserGenerator.fit` (codes, components, temperature, calibrate), whose `batches` and `write`
    are for more users than fit in memory. User ids are text such as synthetic-000000042; every
    weight is 1.

    Whoever shares such users should look at `synthetic_report` first, and not take them for
    anonymous by proof: nothing here is differentially private.

    Raises ConfigError and DataError as `UserGenerator.fit` does.

    >>> model = recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data)
    >>> recae.synthesise(model, 100).n_users
    100
    """
    n_users = check_count(n_users)
    users = UserGenerator.fit(model, data, seed=seed, progress=progress, **options)
    return users.sample(n_users, seed=seed, progress=progress)
