"""Tensors of the Open Inference Protocol: histories in, lists out, as JSON or in binary.

github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; the binary form
is its extension `binary_tensor_data`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from recae.serve.refusals import invalid
from recae.serve.schemas import Body
from recae.serve.settings import Settings

DATATYPES = {"int": "INT64", "str": "BYTES"}
PADDING: dict[str, Any] = {"int": -1, "str": ""}
LOW, HIGH = -(2**63), 2**63 - 1
Parameters = dict[str, bool | int | float | str]


class InputTensor(Body):
    """A tensor of a request."""

    name: str
    shape: list[int] = Field(max_length=8, description="a list of integers")
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = Field(None, description="a list of values, row by row or nested")


class OutputWanted(Body):
    """A tensor that is asked for."""

    name: str
    parameters: Parameters | None = None


class InferBody(Body):
    """A request of the Open Inference Protocol."""

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[InputTensor] = Field(max_length=8)
    outputs: list[OutputWanted] | None = Field(None, max_length=8)


class Tensor(BaseModel):
    """A tensor of an answer."""

    model_config = ConfigDict(extra="forbid")
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any]


class Inferred(BaseModel):
    """An answer of the Open Inference Protocol."""

    model_config = ConfigDict(extra="forbid")
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Tensor]


class TensorAbout(BaseModel):
    """Name, type and shape of a tensor; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None


class ModelAbout(BaseModel):
    """A model as the Open Inference Protocol describes it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAbout]
    outputs: list[TensorAbout]
    parameters: Parameters | None = None


class ServerAbout(BaseModel):
    """The server as the Open Inference Protocol describes it."""

    name: str
    version: str
    extensions: list[str]


class Failed(BaseModel):
    """An error in the form of the Open Inference Protocol."""

    error: str


def example(kind: str) -> dict[str, Any]:
    """A request that a model with ids of this kind answers."""
    data: list[Any] = [1, 260, 1196, 1, -1, -1] if kind == "int" else ["1", "260", "1196"] * 2
    history = {"name": "history", "shape": [2, 3], "datatype": DATATYPES[kind], "data": data}
    return {"id": "42", "parameters": {"k": 3}, "inputs": [history]}


def inputs_of(kind: str) -> list[dict[str, Any]]:
    """The inputs of a model with ids of this kind, for its metadata."""
    padding = {"padding": PADDING[kind]}
    return [
        {"name": "history", "datatype": DATATYPES[kind], "shape": [-1, -1], "parameters": padding},
        {"name": "offsets", "datatype": "INT64", "shape": [-1], "parameters": {"optional": True}},
    ]


def outputs_of(kind: str) -> list[dict[str, Any]]:
    """The outputs of a model with ids of this kind, for its metadata."""
    return [
        {"name": "item_id", "datatype": DATATYPES[kind], "shape": [-1, -1]},
        {"name": "score", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "length", "datatype": "INT64", "shape": [-1]},
    ]


def histories_of(
    inputs: Sequence[InputTensor], tail: bytes, kind: str, settings: Settings
) -> list[list[Any]]:
    """The histories of the input tensors, one a row, without padding.

    `history` is (batch, length), padded with its parameter `padding`, which is -1 or the empty text
    if it has none; or (n,), with `offsets` (batch + 1,). tail: the binary data behind the JSON.
    Raises Refused for anything else.
    """
    found: dict[str, tuple[InputTensor, list[Any]]] = {}
    for tensor in inputs:
        if tensor.name not in ("history", "offsets") or tensor.name in found:
            what = "twice" if tensor.name in found else "unknown"
            raise invalid(f"the input {tensor.name} is {what}. Known: history, offsets", "inputs")
        wanted = "INT64" if tensor.name == "offsets" else DATATYPES[kind]
        if tensor.datatype != wanted:
            raise invalid(
                f"the datatype of {tensor.name} must be {wanted} for this model, not "
                f"{tensor.datatype}",
                tensor.name,
            )
        check_shape(tensor, settings)
        values, tail = values_of(tensor, tail)
        found[tensor.name] = tensor, values
    if tail:
        raise invalid(f"{len(tail):,} bytes behind the tensors belong to none of them", "inputs")
    if "history" not in found:
        raise invalid("the input history is missing", "inputs")
    tensor, values = found["history"]
    if "offsets" in found:
        return _ragged(tensor, values, found["offsets"][1], settings)
    return _padded(tensor, values, kind)


def check_shape(tensor: InputTensor, settings: Settings) -> None:
    """Raises Refused for a shape that no tensor of that name has, or that is too large."""
    limits = {
        ("history", 2): (settings.max_batch, settings.max_history),
        ("history", 1): (settings.max_batch * settings.max_history,),
        ("offsets", 1): (settings.max_batch + 1,),
    }
    most = limits.get((tensor.name, len(tensor.shape)))
    fits = most is not None and all(
        0 <= n <= limit for n, limit in zip(tensor.shape, most, strict=True)
    )
    if not fits:
        words = {"history": "[batch, length], or [n] with offsets", "offsets": "[batch + 1]"}
        raise invalid(
            f"the shape of {tensor.name} must be {words[tensor.name]}, at most "
            f"{settings.max_batch:,} histories of {settings.max_history:,} items, not "
            f"{tensor.shape}",
            tensor.name,
        )


def values_of(tensor: InputTensor, tail: bytes) -> tuple[list[Any], bytes]:
    """The values of a tensor, checked and row by row, and the binary data that are left."""
    count = math.prod(tensor.shape)
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is not None:
        if type(size) is not int or not 0 <= size <= len(tail) or tensor.data is not None:
            raise invalid(
                f"binary_data_size of {tensor.name} must be the number of its bytes behind the "
                f"JSON ({len(tail):,} are left), and data must be absent",
                tensor.name,
            )
        return unpacked(tensor, tail[:size], count), tail[size:]
    values = tensor.data
    if values is None:
        raise invalid(f"{tensor.name} has neither data nor binary_data_size", tensor.name)
    if len(tensor.shape) == 2 and values and all(type(row) is list for row in values):
        if [len(row) for row in values] != [tensor.shape[1]] * tensor.shape[0]:
            raise invalid(f"the rows of {tensor.name} do not have its shape", tensor.name)
        values = [value for row in values for value in row]
    kind: type = int if tensor.datatype == "INT64" else str
    if not {*map(type, values)} <= {kind}:
        wrong = next(value for value in values if type(value) is not kind)
        raise invalid(
            f"{tensor.name} is {tensor.datatype} and has a value that is {type(wrong).__name__}",
            tensor.name,
        )
    if kind is int and values and not (min(values) >= LOW and max(values) <= HIGH):
        raise invalid(f"{tensor.name} has integers of more than 64 bits", tensor.name)
    if len(values) != count:
        raise invalid(
            f"{tensor.name} has {len(values):,} values; its shape {tensor.shape} has {count:,}",
            tensor.name,
        )
    return values, tail


def unpacked(tensor: InputTensor, raw: bytes, count: int) -> list[Any]:
    """The values of a binary tensor: little endian, and texts behind their length (4 bytes)."""
    if tensor.datatype == "INT64":
        if len(raw) != 8 * count:
            raise invalid(f"{tensor.name} needs {8 * count:,} bytes, not {len(raw):,}", tensor.name)
        values: list[Any] = np.frombuffer(raw, "<i8").tolist()
        return values
    values, place = [], 0
    try:
        while place < len(raw) and len(values) <= count:
            (length,) = struct.unpack_from("<I", raw, place)
            end = place + 4 + length
            if end > len(raw):
                raise ValueError("a text ends behind its tensor")
            values.append(raw[place + 4 : end].decode())
            place = end
    except (ValueError, struct.error) as error:
        raise invalid(
            f"{tensor.name} has texts that cannot be read: {error}", tensor.name
        ) from None
    if len(values) != count:
        raise invalid(f"{tensor.name} has not the {count:,} texts of its shape", tensor.name)
    return values


def _padded(tensor: InputTensor, values: list[Any], kind: str) -> list[list[Any]]:
    if len(tensor.shape) != 2:
        raise invalid("a history of shape [n] needs the input offsets", "offsets")
    padding = (tensor.parameters or {}).get("padding", PADDING[kind])
    if type(padding) is not (int if kind == "int" else str):
        raise invalid(f"padding must be a value of type {tensor.datatype}", "padding")
    batch, length = tensor.shape
    rows = (values[row * length : (row + 1) * length] for row in range(batch))
    return [[value for value in row if value != padding] for row in rows]


def _ragged(
    tensor: InputTensor, values: list[Any], offsets: list[int], settings: Settings
) -> list[list[Any]]:
    """Values cut into one history for each user, by the offsets. Raises the error of the protocol
    for offsets that do not fit, and for histories that are too long."""
    lengths = [end - start for start, end in zip(offsets, offsets[1:], strict=False)]
    fits = len(tensor.shape) == 1 and offsets[:1] == [0] and offsets[-1:] == [len(values)]
    if not fits or min(lengths, default=0) < 0:
        raise invalid(
            f"offsets must ascend from 0 to the length of history ({len(values):,}), whose shape "
            "is [n]",
            "offsets",
        )
    if max(lengths, default=0) > settings.max_history:
        raise invalid(
            f"a history has {max(lengths):,} items; this service takes at most "
            f"{settings.max_history:,}",
            "history",
        )
    return [values[start:end] for start, end in zip(offsets, offsets[1:], strict=False)]


def outputs_from(
    answers: Sequence[Mapping[str, Any]], k: int, kind: str
) -> dict[str, dict[str, Any]]:
    """The output tensors of the answers of /v1/recommend, by name.

    item_id and score are (batch, k). Behind the first `length` of a row, item_id is the padding and
    score is 0.
    """
    ids: list[Any] = []
    scores: list[float] = []
    lengths = []
    for answer in answers:
        items = answer["items"]
        rest = k - len(items)
        ids += [item["item_id"] for item in items] + [PADDING[kind]] * rest
        scores += [item["score"] for item in items] + [0.0] * rest
        lengths.append(len(items))
    shape, data = [len(answers), k], {"item_id": ids, "score": scores, "length": lengths}
    return {
        about["name"]: {
            "name": about["name"],
            "shape": shape[:1] if about["name"] == "length" else shape,
            "datatype": about["datatype"],
            "data": data[about["name"]],
        }
        for about in outputs_of(kind)
    }


def packed(tensor: Mapping[str, Any]) -> bytes:
    """The values of an output tensor in binary."""
    if tensor["datatype"] == "BYTES":
        texts = [text.encode() for text in tensor["data"]]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    kinds = {"INT64": "<i8", "FP32": "<f4"}
    return np.array(tensor["data"], dtype=kinds[tensor["datatype"]]).tobytes()
