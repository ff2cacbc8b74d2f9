"""The training loop and what it needs."""

from recae.system.progress import bar
from recae.training.accumulate import Accumulation
from recae.training.checkpoint import Checkpoint
from recae.training.loaders.device import DeviceLoader, on_device
from recae.training.loaders.halves import HalvesLoader
from recae.training.loaders.histories import Loader, SparseLoader
from recae.training.loaders.negatives import NegativesLoader
from recae.training.loaders.rows import ArrayLoader
from recae.training.loaders.sampled import SampledLoader, draw_shares
from recae.training.loop import train
from recae.training.placement import has_bfloat16, resolve_device
from recae.training.plan import OPTIMISERS, BeforeEpoch, Phase, Plan
from recae.training.state import Callback, Epoch, check_callbacks

__all__ = [
    "Accumulation",
    "ArrayLoader",
    "BeforeEpoch",
    "Callback",
    "DeviceLoader",
    "OPTIMISERS",
    "HalvesLoader",
    "Loader",
    "NegativesLoader",
    "Phase",
    "Checkpoint",
    "Epoch",
    "Plan",
    "SampledLoader",
    "SparseLoader",
    "bar",
    "check_callbacks",
    "draw_shares",
    "has_bfloat16",
    "on_device",
    "resolve_device",
    "train",
]
