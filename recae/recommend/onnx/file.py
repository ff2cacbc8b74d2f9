"""Writes a graph as an ONNX file. Weights go from memory to the disk without a copy of them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recae.errors import ConfigError
from recae.recommend.onnx.graph import Graph, Shape

OPSET, IR = 18, 8
"""The oldest operators that the graphs need, and the format of that time (ONNX 1.13, 2022)."""

LARGE = 1 << 10
"""Bytes of a constant from which it is written beside the operations, not among them."""

MOST = (1 << 31) - (1 << 24)
"""Bytes of weights that a file may hold: protobuf allows 2 GiB. More get a file of their own."""

ALIGNED = 1 << 12
"""Weights in a file of their own begin at multiples of a page, to be mapped into memory."""

MISSING = 'to_onnx needs the package onnx: pip install "recae[onnx]"'


def load_onnx() -> Any:
    """The package `onnx`. Raises ConfigError without it."""
    try:
        import onnx.helper
    except ImportError as error:
        raise ConfigError(MISSING) from error
    return onnx


def large(graph: Graph) -> dict[str, np.ndarray]:
    """The constants that are written apart, by name."""
    return {name: a for name, a in graph.constants.items() if a.nbytes >= LARGE}


def needs_two_files(graph: Graph) -> bool:
    """Whether the weights are too large for one file."""
    return sum(array.nbytes for array in large(graph).values()) > MOST


def write_model(graph: Graph, about: Mapping[str, str], path: Path, data: Path | None) -> None:
    """Writes the graph with its metadata; data: the file of the weights, None to keep them inside.

    The bytes are those of a serialised ModelProto whose `graph` holds the large constants last.
    """
    onnx = load_onnx()
    proto = onnx.ModelProto(
        ir_version=IR,
        opset_import=[onnx.helper.make_opsetid("", OPSET)],
        producer_name="recae",
        producer_version=about["recae_version"],
        doc_string=DOC,
    )
    onnx.helper.set_model_props(proto, dict(about))
    inner = _graph(onnx, graph, "recommend").SerializeToString()
    arrays = large(graph)
    heads = list(_heads(onnx, arrays, data))
    total = len(inner) + sum(
        len(_field(TENSORS, len(head) + (0 if data else size))) + len(head) + (0 if data else size)
        for head, size in heads
    )
    with open(path, "wb") as file:
        file.write(proto.SerializeToString())
        file.write(_field(GRAPH, total))
        file.write(inner)
        for (head, size), array in zip(heads, arrays.values(), strict=True):
            file.write(_field(TENSORS, len(head) + (0 if data else size)))
            file.write(head)
            if not data:
                _dump(array, file)
    if data:
        with open(data, "wb") as file:
            for array in arrays.values():
                file.write(bytes(-file.tell() % ALIGNED))
                _dump(array, file)


GRAPH, TENSORS, RAW = 7, 5, 9
"""Fields of ModelProto, GraphProto and TensorProto: the graph, its constants, their bytes."""

DOC = """Histories in, ranked lists out: docs/onnx.md of recae.

items: item columns of all histories, one after the other; numbers outside 0..n_items-1 are ignored.
offsets: where each history begins in items, and the end. allowed: the columns that may be listed.
top_items: columns, -1 where nothing is left; top_scores: -inf there."""


def _heads(onnx: Any, arrays: Mapping[str, np.ndarray], data: Path | None) -> Iterator[Any]:
    """Of each constant the TensorProto up to its bytes, and the number of these."""
    place = 0
    for name, array in arrays.items():
        tensor = onnx.TensorProto(name=name, dims=array.shape, data_type=_type(onnx, array.dtype))
        if data is None:
            yield tensor.SerializeToString() + _field(RAW, array.nbytes), array.nbytes
            continue
        place += -place % ALIGNED
        tensor.data_location = onnx.TensorProto.EXTERNAL
        about = {"location": data.name, "offset": place, "length": array.nbytes}
        for key, value in about.items():
            tensor.external_data.add(key=key, value=str(value))
        place += array.nbytes
        yield tensor.SerializeToString(), array.nbytes


def _field(number: int, length: int) -> bytes:
    """The tag and the length before an embedded field (protobuf, wire type 2)."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _dump(array: np.ndarray, file: BinaryIO) -> None:
    """The bytes of an array, little-endian as the format wants them."""
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    file.write(ordered.data.cast("B") if ordered.size else b"")


def _type(onnx: Any, dtype: Any) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _graph(onnx: Any, graph: Graph, name: str) -> Any:
    """The GraphProto of a graph, without its large constants."""
    apart = large(graph)
    small = {n: a for n, a in graph.constants.items() if n not in apart} | graph.defaults
    return onnx.helper.make_graph(
        [_node(onnx, node) for node in graph.nodes],
        name,
        [_info(onnx, value, shape) for value, shape in graph.inputs],
        [_info(onnx, value, shape) for value, shape in graph.outputs],
        [onnx.numpy_helper.from_array(array, n) for n, array in small.items()],
    )


def _info(onnx: Any, value: Any, shape: Shape) -> Any:
    return onnx.helper.make_tensor_value_info(value.name, _type(onnx, value.dtype), shape)


def _node(onnx: Any, node: Any) -> Any:
    attributes = dict(node.attributes)
    for key, value in attributes.items():
        if isinstance(value, Graph):
            attributes[key] = _graph(onnx, value, value.name("body"))
        elif isinstance(value, np.ndarray):
            attributes[key] = onnx.numpy_helper.from_array(value)
        elif key == "to":
            attributes[key] = _type(onnx, value)
    return onnx.helper.make_node(node.op, node.inputs, node.outputs, node.outputs[0], **attributes)
