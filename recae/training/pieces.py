"""A safetensors file of a sharded training: written and read one tensor at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from recae.nn import Ranks, Shard

NAMES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64", torch.bool: "BOOL"}
"""Types as a safetensors file names them."""

ShardOf = Callable[[str, Sequence[int]], "Shard | None"]
"""(name, full shape) -> the items that this process holds of that tensor, None for all."""


def write_pieces(
    path: Path | None,
    tensors: Mapping[str, Tensor],
    shard_of: ShardOf,
    metadata: Mapping[str, str],
    ranks: Ranks,
) -> None:
    """Writes the full tensors on process 0, to the bytes of `safetensors.torch.save_file`.

    Every process calls it with its parts, and process 0 with a path: it holds one full tensor at a
    time. Raises OSError.
    """
    shards = {name: shard_of(name, tensor.shape) for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    if path is None:
        for name in order:
            shard = shards[name]
            if shard is not None:
                shard.whole(tensors[name])
        return
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        tensor, shard, start = tensors[name], shards[name], end
        shape = list(tensor.shape)
        if shard is not None:
            shape[shard.dim] = shard.n_items
        end += torch.Size(shape).numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            shard = shards[name]
            full = tensors[name] if shard is None else shard.whole(tensors[name])
            assert full is not None
            raw = full.detach().cpu().contiguous().flatten().view(torch.uint8)
            file.write(raw.numpy().data)


def read_pieces(path: Path, shard_of: ShardOf) -> dict[str, Tensor]:
    """The parts of this process of the tensors in a file, which each process reads for itself.

    Raises OSError and SafetensorError.
    """
    tensors = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():
            rows = file.get_slice(name)
            shard = shard_of(name, rows.get_shape())
            if shard is None:
                tensors[name] = file.get_tensor(name)
            elif shard.dim:
                tensors[name] = rows[:, shard.start : shard.stop].contiguous()
            else:
                tensors[name] = rows[shard.start : shard.stop]
    return tensors
