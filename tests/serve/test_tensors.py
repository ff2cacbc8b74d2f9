"""Tensors become histories and lists become tensors, as JSON and as bytes that are written out."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from recae.serve import Settings
from recae.serve.refusals import Refused
from recae.serve.tensors import (
    InputTensor,
    histories_of,
    inputs_of,
    outputs_from,
    outputs_of,
    packed,
)

LIMITS = Settings(max_batch=3, max_history=4)


def tensor(name: str, shape: list[int], data: Any = None, **more: Any) -> InputTensor:
    given = {"name": name, "shape": shape, "datatype": "INT64", "data": data, **more}
    return InputTensor.model_validate(given)


def text(shape: list[int], data: Any = None, **more: Any) -> InputTensor:
    return tensor("history", shape, data, datatype="BYTES", **more)


def offsets(*values: int) -> InputTensor:
    return tensor("offsets", [len(values)], [*values])


def histories(*inputs: InputTensor, tail: bytes = b"", kind: str = "int") -> list[list[Any]]:
    return histories_of(inputs, tail, kind, LIMITS)


def refusal(*inputs: InputTensor, tail: bytes = b"", kind: str = "int") -> str | None:
    with pytest.raises(Refused) as caught:
        histories(*inputs, tail=tail, kind=kind)
    assert caught.value.status == 422  # the protocol writes it as 400
    return caught.value.parameter


def test_rows_without_their_padding() -> None:
    for data in ([5, 6, -1, 7, -1, -1], [[5, 6, -1], [7, -1, -1]]):
        assert histories(tensor("history", [2, 3], data)) == [[5, 6], [7]]
    zero = tensor("history", [2, 2], [0, -1, 3, 0], parameters={"padding": 0})
    assert histories(zero) == [[-1], [3]]
    assert histories(tensor("history", [3, 0], [])) == [[], [], []]
    assert histories(tensor("history", [0, 4], [])) == []
    assert histories(text([2, 2], ["a", "", "", "b"]), kind="str") == [["a"], ["b"]]


def test_rows_between_offsets() -> None:
    values = tensor("history", [5], [1, 2, 3, -1, 5])
    for order in ((values, offsets(0, 2, 2, 5)), (offsets(0, 2, 2, 5), values)):
        assert histories(*order) == [[1, 2], [], [3, -1, 5]]  # -1 is an id here
    assert histories(tensor("history", [0], []), offsets(0)) == []
    words = text([2], ["a", ""])
    assert histories(words, offsets(0, 1, 2), kind="str") == [["a"], [""]]


def binary(size: Any, **more: Any) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}, **more}


def test_bytes_behind_the_json() -> None:
    low, high = -(2**63), 2**63 - 1
    raw = struct.pack("<4q", low, high, 5, -1)
    assert histories(tensor("history", [2, 2], **binary(32)), tail=raw) == [[low, high], [5]]
    ends = struct.pack("<3q", 0, 1, 4)
    both = (tensor("history", [4], **binary(32)), tensor("offsets", [3], **binary(24)))
    assert histories(*both, tail=raw + ends) == [[low], [high, 5, -1]]
    words = ["é", "", "a\0b", "x" * 70_000]
    raw = b"".join(struct.pack("<I", len(w.encode())) + w.encode() for w in words)
    assert histories(text([1, 4], **binary(len(raw))), tail=raw, kind="str") == [
        ["é", "a\0b", "x" * 70_000]
    ]


@pytest.mark.parametrize("size", [-1, 9, 2**40, True, 8.0, "8"])
def test_a_size_that_lies_is_refused(size: Any) -> None:
    one = tensor("history", [1, 1], **binary(size))
    assert refusal(one, tail=b"\0" * 8) == "history"


@pytest.mark.parametrize(
    "raw",
    [
        *(b"\x05\0\0\0abc", b"\x01\0\0", b"\xff\xff\xff\xffa", b"\x01\0\0\0\xff", b""),
        *(b"\x01\0\0\0a" * 2, b"\0\0\0\0" * 9),
    ],
)
def test_texts_that_lie_are_refused(raw: bytes) -> None:
    assert refusal(text([1, 1], **binary(len(raw))), tail=raw, kind="str") == "history"


@pytest.mark.parametrize(
    ("inputs", "parameter"),
    [
        ([], "inputs"),
        ([offsets(0)], "inputs"),
        ([tensor("other", [1, 1], [1])], "inputs"),
        ([tensor("history", [1, 1], [1])] * 2, "inputs"),
        ([text([1, 1], ["a"])], "history"),
        ([tensor("history", [1, 1], [1], datatype="INT32")], "history"),
        ([tensor("history", [1, 1])], "history"),
        ([tensor("history", [], [])], "history"),
        ([tensor("history", [1, 1, 1], [1])], "history"),
        ([tensor("history", [4, 1], [1] * 4)], "history"),
        ([tensor("history", [1, 5], [1] * 5)], "history"),
        ([tensor("history", [1, -1], [])], "history"),
        ([tensor("history", [2**31, 2**31], [])], "history"),
        ([tensor("history", [2, 2], [1, 2, 3])], "history"),
        ([tensor("history", [2, 2], [[1, 2], [3]])], "history"),
        ([tensor("history", [2, 1], [[1], [[2]]])], "history"),
        ([tensor("history", [2, 1], [[1], 2])], "history"),
        ([tensor("history", [1, 1], [2**63])], "history"),
        ([tensor("history", [1, 1], [True])], "history"),
        ([tensor("history", [1, 1], ["1"])], "history"),
        ([tensor("history", [1, 1], [1], parameters={"padding": "x"})], "padding"),
        ([tensor("history", [1, 1], [1], parameters={"padding": True})], "padding"),
        ([tensor("history", [2], [1, 2])], "offsets"),
        ([tensor("history", [1, 2], [1, 2]), offsets(0, 2)], "offsets"),
        ([tensor("history", [2], [1, 2]), offsets()], "offsets"),
        ([tensor("history", [2], [1, 2]), offsets(0, 1)], "offsets"),
        ([tensor("history", [2], [1, 2]), offsets(1, 2)], "offsets"),
        ([tensor("history", [2], [1, 2]), offsets(0, 2, 1, 2)], "offsets"),
        ([tensor("history", [2], [1, 2]), offsets(0, 3, 2)], "offsets"),
        ([tensor("history", [5], [1] * 5), offsets(0, 5)], "history"),
        ([tensor("history", [2], [1, 2]), offsets(0, 0, 0, 1, 2)], "offsets"),
    ],
)
def test_other_tensors_are_refused(inputs: list[InputTensor], parameter: str) -> None:
    assert refusal(*inputs) == parameter


def test_bytes_that_belong_to_nothing_are_refused() -> None:
    assert refusal(tensor("history", [1, 1], [1]), tail=b"\0") == "inputs"


ANSWERS = [
    {"items": [{"item_id": 4, "score": 0.5}, {"item_id": 2, "score": 0.25}]},
    {"items": [{"item_id": 9, "score": -1.5}]},
    {"items": []},
]


def test_lists_become_rows_with_their_padding() -> None:
    made = outputs_from(ANSWERS, 2, "int")
    assert {name: one["data"] for name, one in made.items()} == {
        "item_id": [4, 2, 9, -1, -1, -1],
        "score": [0.5, 0.25, -1.5, 0.0, 0.0, 0.0],
        "length": [2, 1, 0],
    }
    assert {name: one["shape"] for name, one in made.items()} == {
        **{"item_id": [3, 2], "score": [3, 2]},
        "length": [3],
    }
    assert packed(made["item_id"]) == struct.pack("<6q", 4, 2, 9, -1, -1, -1)
    assert packed(made["score"]) == struct.pack("<6f", 0.5, 0.25, -1.5, 0, 0, 0)
    assert packed(made["length"]) == struct.pack("<3q", 2, 1, 0)


def test_texts_are_packed_behind_their_length() -> None:
    answers = [{"items": [{"item_id": "é", "score": 1.0}]}]
    made = outputs_from(answers, 2, "str")
    assert made["item_id"]["data"] == ["é", ""]
    assert packed(made["item_id"]) == b"\x02\0\0\0\xc3\xa9\0\0\0\0"


@pytest.mark.parametrize(
    ("kind", "datatype", "padding"), [("int", "INT64", -1), ("str", "BYTES", "")]
)
def test_the_metadata_describe_what_is_read_and_written(
    kind: str, datatype: str, padding: Any
) -> None:
    about = {one["name"]: one for one in inputs_of(kind)}
    assert about["history"]["datatype"] == datatype
    assert about["history"]["parameters"]["padding"] == padding
    assert about["offsets"]["datatype"] == "INT64"
    items = [{"item_id": 1 if kind == "int" else "a", "score": 0.5}]
    made = outputs_from([{"items": items}], 1, kind)
    for one in outputs_of(kind):
        found = made[one["name"]]
        assert found["datatype"] == one["datatype"]
        assert len(found["shape"]) == len(one["shape"])
        assert int(np.prod(found["shape"])) == len(found["data"])
