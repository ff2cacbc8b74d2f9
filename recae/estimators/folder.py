"""What was learnt, on disk: a directory of JSON and safetensors, whole and unaltered or refused.

folder/config.json           kind, format, recae version, settings, SHA-256 of all and of itself
folder/weights.safetensors   the arrays
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from recae.errors import DataError, StorageError
from recae.system.files import as_path, atomic_directory, plain
from recae.system.machine import __version__

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "weights.safetensors"

Net = TypeVar("Net", bound=nn.Module)


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
    if overwrite and (as_path(path) / CONFIG).is_file() and not _ours(as_path(path)):
        raise StorageError(f"{path} was not saved by recae: name another place")
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
        config["digest"] = _of_config(config)
        text = json.dumps(config, indent=2, default=plain)
        (part / CONFIG).write_text(text + "\n", encoding="utf-8")
    return Path(path)


def kind_of(path: str | Path) -> str | None:
    """The kind of what a folder holds; None where it holds nothing that `write_folder` wrote."""
    try:
        kind = json.loads((as_path(path) / CONFIG).read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def _ours(folder: Path) -> bool:
    """Whether a folder's config says that recae wrote it: others have a config.json, too."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"recae", "format"} <= {*config}


def read_folder(path: str | Path, kinds: Mapping[str, Any]) -> tuple[str, Any, dict[str, Tensor]]:
    """The kind, the settings and the arrays of a folder, which must be of one of the kinds.

    A folder that is replaced by another while it is read gives the one or the other. Raises
    DataError for what is no such folder, of another kind or format, incomplete or altered.
    """
    folder = as_path(path)
    while True:
        text = _text(folder)
        try:
            return _read(folder, text, kinds)
        except DataError:
            if _text(folder) == text:
                raise


def _text(folder: Path) -> str:
    if not (folder / CONFIG).is_file():
        raise DataError(f"{folder} holds nothing saved by recae: it has no {CONFIG}")
    try:
        return (folder / CONFIG).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error


def _read(folder: Path, text: str, kinds: Mapping[str, Any]) -> tuple[str, Any, dict[str, Tensor]]:
    try:
        config = json.loads(text)
        kind, found, version = config.get("kind"), config["format"], config["recae"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder, error) from error
    if kind is None:
        raise DataError(f"{folder} holds a recommender: read it with recae.load")
    if not isinstance(kind, str) or kind not in kinds:
        raise DataError(f"{folder} holds a {kind!r}, not one of: {', '.join(sorted(kinds))}")
    if found != FORMAT:
        raise DataError(
            f"{folder} has format {found}; this recae {__version__} reads format {FORMAT}: it was "
            f"saved by recae {version}, install that or save it again"
        )
    try:
        if config.pop("digest") != _of_config(config):
            raise ValueError(f"{CONFIG} is not what was saved: it was altered")
        settings, digest = config["settings"], config["files"][WEIGHTS]
        content = (folder / WEIGHTS).read_bytes()
        if _digest(content) != digest:
            raise ValueError(f"{WEIGHTS} is not what was saved: cut short, altered or another's")
        return kind, settings, load(content)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def shape_of(given: Any) -> tuple[int, ...]:
    """The shape of an example from JSON. Raises ValueError for what is no list of integers >= 1."""
    if not isinstance(given, list) or not given or not all(type(n) is int and n > 0 for n in given):
        raise ValueError(f"the shape of an example is {given!r}")
    return tuple(given)


def filled(make: Callable[[], Net], weights: Mapping[str, Tensor], unsaved: str = "-") -> Net:
    """The network that `make` makes, with weights that were read; nothing is drawn.

    It is made without memory first, so that settings that ask for gigabytes are compared with the
    weights that there are before any are taken. unsaved: what names of weights contain that are not
    saved; they become 0. Raises ValueError for other names or shapes.
    """
    with torch.device("meta"):
        net = make()
    asked = {n: tuple(t.shape) for n, t in net.state_dict().items() if unsaved not in n}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted({*asked, *found}):
        if asked.get(name) != found.get(name):
            raise ValueError(
                f"the settings ask for {asked.get(name, 'no')} numbers {name}, {WEIGHTS} holds "
                f"{found.get(name, 'none')}"
            )
    net.to_empty(device="cpu")
    blank = {n: torch.zeros_like(t) for n, t in net.state_dict().items() if unsaved in n}
    net.load_state_dict(dict(weights) | blank)
    return net.eval()


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder} is damaged: {' '.join(str(error).split())}; save it again")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _of_config(config: Mapping[str, Any]) -> str:
    return _digest(json.dumps(config, sort_keys=True, default=plain).encode())
