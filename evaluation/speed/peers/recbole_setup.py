"""RecBole 1.2.1 on a data set that lies in a folder as its own atomic files.

Importing this puts the stand-ins for what is not installed in place (see
`evaluation/peers/recbole_evaluation.py`), which RecBole needs before it is imported itself.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[2] / "peers"))
import recbole_evaluation as _  # noqa: E402, F401  the stand-ins
from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset  # noqa: E402
from recbole.utils import init_seed  # noqa: E402

NAME = "given"


def configured(
    folder: Path, parts: list[str], settings: dict[str, Any], device: str = "cpu"
) -> Config:
    """The configuration of its MultiVAE on folder/given/given.PART.inter, silent."""
    sys.argv = sys.argv[:1]  # RecBole reads what is left of it
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
