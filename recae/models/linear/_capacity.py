"""Which matrix a closed form inverts, in which float and where, and whether it fits there."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch

from recae.errors import CapacityError, warn
from recae.system.memory import total_memory

SPARE = 0.85
"""Share of the memory that the matrices may take."""

FEWER = 0.75
"""Users to an item below which users are inverted: users^3 is then less than half of items^3, so
that float64 over users takes no longer than float32 over items."""

MUCH_FEWER = 0.5
"""The same where float32 is asked for: the item-item matrix alone takes less memory, so that users
are inverted only where that takes a fraction of the time."""

LOST = 1e-3
"""Share of a weight that rounding may reach before it is said: epsilon times the weight of a column
in ridges, which bounds the condition of X'X + diag(r) for two equal columns."""

CPU = torch.device("cpu")

HEAVY = 1e5
"""Sum of squares of a column, in ridges, up to which users are inverted. Rounding grows with its
square: up to here it stays below that of the float32 in which weights are kept."""


@dataclass(frozen=True)
class Way:
    """One way to the inverse: through the users or the items, in a float.

    inverted: bytes of the matrix that is inverted; needed: bytes of memory that it takes in all.
    """

    over_users: bool
    dtype: np.dtype[Any]
    inverted: int
    needed: int

    def __str__(self) -> str:
        if self.over_users:
            return f"a user-user matrix in {self.dtype} beside an item-item matrix in float32"
        return f"one item-item matrix in {self.dtype}"


def choose(
    name: str,
    n_users: int,
    n_items: int,
    heaviest: float,
    precision: str,
    device: torch.device = CPU,
) -> tuple[Way, torch.device]:
    """The first way that fits, users before items where they are clearly fewer, and its device.

    heaviest: the largest sum of squares of a column of X as a multiple of its ridge. precision:
    "float64", "float32" (of an item-item matrix; a user-user matrix is always in float64), or
    "auto": float64 if that fits, else float32, and a warning. device: taken if one of the ways
    fits there, else the CPU, and a warning. Raises CapacityError.
    """
    items, users = n_items**2, n_users**2
    double, single = np.dtype(np.float64), Way(False, np.dtype(np.float32), 4 * items, 4 * items)
    doubled = [Way(False, double, 8 * items, 8 * items)]
    fewer = MUCH_FEWER if precision == "float32" else FEWER
    if n_users < fewer * n_items and heaviest <= HEAVY:
        doubled.insert(0, Way(True, double, 8 * users, 8 * users + 4 * items))
    ways = {
        "auto": [*doubled, single],
        "float64": doubled,
        "float32": [*doubled[:-1], single],
    }[precision]
    available = SPARE * total_memory()
    least = min(ways, key=lambda way: way.needed)
    if least.needed > available:
        raise CapacityError(
            f"{name} on {n_items:,} items needs {least.needed / 1e9:.1f} GB for {least}, and "
            f"{available / 1e9:.1f} GB may be used: keep fewer items with "
            "data.filter(min_per_item=...), or use ELSA or SparseEASE"
        )
    fitting = [way for way in ways if way.needed <= available]
    there = [way for way in fitting if 2 * way.inverted <= _room(device)]
    if precision == "float32" and device.type != "cpu":
        there.sort(key=lambda way: way.over_users)  # many GPUs are far slower in float64
    chosen = (there or fitting)[0]
    device = placed(name, device, chosen.inverted)
    if precision == "auto" and chosen is single:
        in_memory = min(way.needed for way in doubled)
        on_device = 2 * min(way.inverted for way in doubled)
        needed = in_memory if in_memory > available else on_device
        warn(
            f"{name} on {n_items:,} items inverts their item-item matrix in float32: float64 would "
            f"need {needed / 1e9:.1f} GB" + (f" on {device}" if needed == on_device else "")
        )
    return chosen, device


def warn_if_light(name: str, l2: float, heaviest: float, way: Way) -> None:
    """Warns of a ridge so light beside a column of X'X that rounding may reach the weights."""
    lost = heaviest * float(np.finfo(way.dtype).eps)
    if lost > LOST:
        warn(
            f"weights of {name} may be off by a share of {lost:.0e}: at l2={l2} a column is "
            f"{heaviest:.0e} times as heavy as its ridge, which {way.dtype} cannot resolve; raise "
            "l2" + (" or take precision='float64'" if way.dtype == np.float32 else "")
        )


def placed(name: str, device: torch.device, inverted: int) -> torch.device:
    """The device if a matrix of so many bytes can be inverted there, else the CPU, and a warning.

    It takes room for two: the factor and the inverse.
    """
    if 2 * inverted <= _room(device):
        return device
    warn(
        f"{name} inverts on the CPU: that takes {2 * inverted / 1e9:.1f} GB, and on {device} "
        f"{_room(device) / 1e9:.1f} GB may be used"
    )
    return CPU


def _room(device: torch.device) -> float:
    """Bytes that an inversion may take on a device; the CPU's are counted in `choose`."""
    if device.type != "cuda":
        return float("inf")
    free, _ = torch.cuda.mem_get_info(device)
    return SPARE * free


def largest_catalogue(total: int) -> int:
    """The most items whose item-item matrix in float32 fits into so many bytes of memory.

    >>> largest_catalogue(24 * 2**30)  # 4 items^2 <= 0.85 x 24 GiB
    74000
    """
    return isqrt(int(SPARE * total) // 4)
