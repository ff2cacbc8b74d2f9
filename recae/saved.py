"""What was learnt, on disk: a directory of JSON and safetensors, whole and unaltered or refused.

folder/config.json           kind, format, recae version, settings, SHA-256 of every other file
folder/weights.safetensors   the arrays
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from recae.errors import DataError
from recae.files import as_path, atomic_directory, plain
from recae.version import __version__

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def write_folder(
    path: str | Path,
    kind: str,
    settings: Mapping[str, Any],
    arrays: Mapping[str, Tensor],
    *,
    overwrite: bool = False,
) -> Path:
    """Writes settings (ready for JSON) and arrays, whole or not at all. Returns the path.

    Raises StorageError for a path that is taken (unless it holds such a folder and `overwrite`), no
    permission or a full disk.
    """
    with atomic_directory(path, overwrite=overwrite, marker=CONFIG) as part:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in arrays.items()}
        try:
            save_file(tensors, part / WEIGHTS)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error
        config = {
            "kind": kind,
            "format": FORMAT,
            "recae": __version__,
            "settings": dict(settings),
            "files": {WEIGHTS: _digest((part / WEIGHTS).read_bytes())},
        }
        text = json.dumps(config, indent=2, default=plain)
        (part / CONFIG).write_text(text + "\n", encoding="utf-8")
    return Path(path)


def read_folder(path: str | Path, kinds: Mapping[str, Any]) -> tuple[str, Any, dict[str, Tensor]]:
    """The kind, the settings and the arrays of a folder, which must be of one of the kinds.

    Raises DataError for what is no such folder, of another kind or format, incomplete or altered.
    """
    folder = as_path(path)
    if not (folder / CONFIG).is_file():
        raise DataError(f"{folder} holds nothing saved by recae: it has no {CONFIG}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, found, version = config.get("kind"), config["format"], config["recae"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, error) from error
    if kind is None:
        raise DataError(f"{folder} holds a recommender: read it with recae.load")
    if kind not in kinds:
        raise DataError(f"{folder} holds a {kind!r}, not one of: {', '.join(sorted(kinds))}")
    if found != FORMAT:
        raise DataError(
            f"{folder} has format {found}; this recae {__version__} reads format {FORMAT}: it was "
            f"saved by recae {version}, install that or save it again"
        )
    try:
        settings, digest = config["settings"], config["files"][WEIGHTS]
        content = (folder / WEIGHTS).read_bytes()
        if _digest(content) != digest:
            raise ValueError(f"{WEIGHTS} is not what was saved: cut short, altered or another's")
        return kind, settings, load(content)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder} is damaged: {' '.join(str(error).split())}; save it again")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
