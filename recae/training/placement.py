"""Where a model trains and scores."""

from __future__ import annotations

import torch

from recae.errors import ConfigError

CPU_UNITS = ("avx512_bf16", "amx_tile")
"""What a processor multiplies in bfloat16 with."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bfloat16 by itself, which is then faster."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Before torch 2.6 these had no name of their own: what cannot be asked is not there.
    asked = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in CPU_UNITS)
    return any(ask() for ask in asked if ask is not None)


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
