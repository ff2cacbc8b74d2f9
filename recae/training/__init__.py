"""The training loop and what it needs."""

from recae.progress import bar
from recae.training.accumulate import Accumulation
from recae.training.arrays import ArrayLoader
from recae.training.callbacks import Callback, Epoch, check_callbacks
from recae.training.checkpoint import Checkpoint
from recae.training.device_loader import DeviceLoader, on_device
from recae.training.halves import HalvesLoader
from recae.training.loader import Loader, SparseLoader
from recae.training.loop import train
from recae.training.negatives import NegativesLoader
from recae.training.placement import has_bfloat16, resolve_device
from recae.training.plan import OPTIMISERS, Phase, Plan, Rewrite, Start
from recae.training.sampling import SampledLoader, draw_shares

__all__ = [
    "Accumulation",
    "ArrayLoader",
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
    "Rewrite",
    "SampledLoader",
    "SparseLoader",
    "Start",
    "bar",
    "check_callbacks",
    "draw_shares",
    "has_bfloat16",
    "on_device",
    "resolve_device",
    "train",
]
