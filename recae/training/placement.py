"""Where a model trains and scores."""

from __future__ import annotations

import torch

from recae.errors import ConfigError


def resolve_device(device: str | torch.device) -> torch.device:
    """The device meant: "auto" is the first GPU if there is one, else the CPU.

    Raises ConfigError when the device does not exist here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"unknown device {device!r}: use 'auto', 'cpu', 'cuda' or 'cuda:1'"
        ) from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ConfigError(
            f"device {device!r} is not there (GPUs found: {found}): use 'auto' or 'cpu'"
        )
    return resolved
