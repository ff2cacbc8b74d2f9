"""Sets up RecBole 1.2.1 on a data set in its own atomic files.

The environment has no ray, tensorboard or plotly, because training and evaluation do not use them.
Import this module before RecBole: it replaces tensorboard and ray.
"""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch


def stand_in(name: str, **members: object) -> None:
    """An importable module with these members, in place of one that is not installed."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


class NoBoard:
    """Replaces the writer of TensorBoard; nothing is drawn."""

    def __init__(self, *_: object) -> None:
        pass

    def add_scalar(self, *_: object) -> None:
        """Nothing is drawn."""

    def add_hparams(self, *_: object) -> None:
        """Nothing is drawn."""


stand_in("torch.utils.tensorboard", SummaryWriter=NoBoard)
stand_in("ray", tune=None)
# RecBole's settings use type names that NumPy 2 has removed.
for _old, _new in {"float_": "float64", "complex_": "complex128", "unicode_": "str_"}.items():
    setattr(np, _old, getattr(np, _new))

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset  # noqa: E402
from recbole.utils import init_seed  # noqa: E402

NAME = "given"


def configured(
    folder: Path, parts: list[str], settings: dict[str, Any], device: str = "cpu"
) -> Config:
    """The configuration of its MultiVAE on folder/given/given.PART.inter, silent."""
    sys.argv = sys.argv[:1]  # RecBole reads the remaining arguments
    given = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder),
        "benchmark_filename": parts,
        "load_col": {"inter": ["user_id", "item_id"]},
        "train_neg_sample_args": None,
        "use_gpu": device != "cpu",
        "worker": 0,
        "seed": 0,
        "reproducibility": True,
        "show_progress": False,
    }
    config = Config(model="MultiVAE", dataset=NAME, config_dict=given | settings)
    config["device"] = torch.device(device)
    logging.disable(logging.CRITICAL)
    init_seed(config["seed"], config["reproducibility"])
    return config


def dataset_of(config: Config) -> Any:
    """Reads the atomic files."""
    return create_dataset(config)
