"""Training: batches, objective, loop, checkpoint."""

from recae.system.progress import bar
from recae.training.batches import (
    ArrayLoader,
    HalvesLoader,
    Loader,
    NegativesLoader,
    SampledLoader,
    SparseLoader,
    draw_shares,
)
from recae.training.checkpoint import Checkpoint
from recae.training.device import DeviceLoader, has_bfloat16, on_device, resolve_device
from recae.training.loop import Callback, Epoch, Run, check_callbacks, train
from recae.training.objective import Accumulation, LinearAnneal, Objective, annealed
from recae.training.plan import OPTIMISERS, BeforeEpoch, Phase, Plan

__all__ = [
    "Accumulation",
    "ArrayLoader",
    "BeforeEpoch",
    "Callback",
    "DeviceLoader",
    "OPTIMISERS",
    "HalvesLoader",
    "LinearAnneal",
    "Loader",
    "NegativesLoader",
    "Objective",
    "Phase",
    "Checkpoint",
    "Epoch",
    "Plan",
    "Run",
    "SampledLoader",
    "SparseLoader",
    "annealed",
    "bar",
    "check_callbacks",
    "draw_shares",
    "has_bfloat16",
    "on_device",
    "resolve_device",
    "train",
]
