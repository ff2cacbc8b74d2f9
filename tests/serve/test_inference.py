"""The Open Inference Protocol: requests and answers in its published form, same lists as /v1."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from recae.serve import Shelf, create_app

pytest.importorskip("fastapi", reason="the extra serve is not installed")
TestClient = pytest.importorskip("starlette.testclient").TestClient

INFER = "/v2/models/ease/infer"
LENGTH = "inference-header-content-length"

# specification/protocol/open_inference_rest.yaml of github.com/kserve/open-inference-protocol, in
# JSON Schema: the types of the fields, and which of them are required.
TENSOR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {"type": ["number", "string", "boolean", "array"]}},
    },
    "required": ["name", "datatype", "shape"],
}
FULL = {**TENSOR, "required": ["name", "datatype", "shape", "data"]}
TEXT = {"type": "string"}
PUBLISHED: dict[str, dict[str, Any]] = {
    "server": {
        "properties": {"name": TEXT, "version": TEXT, "extensions": {"items": TEXT}},
        "required": ["name", "version", "extensions"],
    },
    "model": {
        "properties": {
            "name": TEXT,
            "platform": TEXT,
            "versions": {"type": "array", "items": TEXT},
            "inputs": {"type": "array", "items": TENSOR},
            "outputs": {"type": "array", "items": TENSOR},
        },
        "required": ["name", "platform"],
    },
    "response": {
        "properties": {
            "model_name": TEXT,
            "model_version": TEXT,
            "id": TEXT,
            "outputs": {"type": "array", "items": FULL},
        },
        "required": ["model_name", "outputs"],
    },
    "error": {"properties": {"error": TEXT}, "required": ["error"]},
}


def check(kind: str, body: Any) -> None:
    validator = pytest.importorskip("jsonschema_rs", reason="schemathesis is not installed")
    validator.validate({"type": "object", **PUBLISHED[kind]}, body)


def history(data: Any, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": "history", "shape": shape, "datatype": "INT64", "data": data, **more}


def test_metadata_and_health(client: Any, ease: Any) -> None:
    for path in ("/v2", "/v2/"):
        check("server", client.get(path).json())
    about = client.get("/v2/models/ease").json()
    check("model", about)
    assert about["versions"] == [ease.fingerprint()]
    assert [one["datatype"] for one in about["outputs"]] == ["INT64", "FP32", "INT64"]
    versioned = f"/v2/models/ease/versions/{ease.fingerprint()}"
    assert client.get(versioned).json() == about
    for path in ("/v2/health/live", "/v2/health/ready", f"{versioned}/ready"):
        assert client.get(path).status_code == 200
    for path in ("/v2/models/none", "/v2/models/ease/versions/1", "/v2/models/none/ready"):
        response = client.get(path)
        assert response.status_code == 404
        check("error", response.json())


def test_each_form_of_a_batch_has_the_lists_of_version_1(client: Any) -> None:
    histories: list[list[int]] = [[1, 2, 3], [4], []]
    requests = [{"history": one, "k": 4} for one in histories]
    answers = client.post("/v1/recommend:batch", json={"requests": requests}).json()["answers"]
    expected = [[item["item_id"] for item in answer["items"]] for answer in answers]
    rows = [[1, 2, 3], [4, -1, -1], [-1, -1, -1]]
    offsets = {"name": "offsets", "shape": [4], "datatype": "INT64", "data": [0, 3, 4, 4]}
    padded = [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
    for inputs in (
        [history(rows, [3, 3])],
        [history([value for row in rows for value in row], [3, 3])],
        [history([1, 2, 3, 4], [4]), offsets],
        [history(padded, [3, 3], parameters={"padding": 0})],
    ):
        body = {"id": "x", "parameters": {"k": 4}, "inputs": inputs}
        answer = client.post(INFER, json=body).json()
        check("response", answer)
        tensors = {tensor["name"]: tensor for tensor in answer["outputs"]}
        assert np.reshape(tensors["item_id"]["data"], (3, 4)).tolist() == expected
        assert tensors["score"]["shape"] == [3, 4] and tensors["length"]["data"] == [4, 4, 4]
        assert answer["id"] == "x"


def test_a_short_list_is_padded(client: Any) -> None:
    body = {"parameters": {"k": 30}, "inputs": [history([[1, 2]], [1, 2])]}
    tensors = {one["name"]: one for one in client.post(INFER, json=body).json()["outputs"]}
    assert tensors["length"]["data"] == [28]
    assert tensors["item_id"]["data"][28:] == [-1, -1]
    assert tensors["score"]["data"][28:] == [0, 0]


def test_outputs_are_chosen(client: Any) -> None:
    body = {"inputs": [history([[1]], [1, 1])], "outputs": [{"name": "score"}]}
    assert [one["name"] for one in client.post(INFER, json=body).json()["outputs"]] == ["score"]


def test_binary_tensors(client: Any) -> None:
    plain = client.post(INFER, json={"inputs": [history([[1, 2]], [1, 2])]}).json()["outputs"]
    tensor = history(None, [1, 2], parameters={"binary_data_size": 16})
    del tensor["data"]
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    raw = head + struct.pack("<2q", 1, 2)
    response = client.post(INFER, content=raw, headers={LENGTH: str(len(head))})
    length = int(response.headers[LENGTH])
    answer, tail = json.loads(response.content[:length]), response.content[length:]
    for expected, found, kind in zip(plain, answer["outputs"], ("<i8", "<f4", "<i8"), strict=True):
        size = found["parameters"]["binary_data_size"]
        np.testing.assert_allclose(np.frombuffer(tail[:size], kind), expected["data"], rtol=1e-6)
        tail = tail[size:]
    assert not tail


def test_text_ids_are_bytes(places: Any) -> None:
    with TestClient(create_app(Shelf({"words": places["words"]}))) as client:
        data = ["item 1", "item 2", "item 3", ""]
        tensor = {"name": "history", "shape": [2, 2], "datatype": "BYTES", "data": data}
        body: dict[str, Any] = {"parameters": {"k": 2}, "inputs": [tensor]}
        plain = client.post("/v2/models/words/infer", json=body).json()["outputs"][0]["data"]
        raw = b"".join(struct.pack("<I", len(one)) + one.encode() for one in data)
        tensor = {**tensor, "parameters": {"binary_data_size": len(raw)}}
        del tensor["data"]
        head = json.dumps({**body, "inputs": [tensor]}).encode()
        headers = {LENGTH: str(len(head))}
        found = client.post("/v2/models/words/infer", content=head + raw, headers=headers).json()
        assert found["outputs"][0]["data"] == plain
        assert all(text.startswith("item ") for text in plain)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [history([1, 2], [1, 3])]},
        {"inputs": [history([1, 2], [-1, 2])]},
        {"inputs": [history([1, 2], [2])]},
        {"inputs": [history([], [21, 0])]},
        {"inputs": [history([], [2**62, 0])]},
        {"inputs": [history([[1], [2, 3]], [2, 2])]},
        {"inputs": [history([[[1]]], [1, 1])]},
        {"inputs": [history([1.5], [1, 1])]},
        {"inputs": [history([True], [1, 1])]},
        {"inputs": [history(["a"], [1, 1])]},
        {"inputs": [history([2**63], [1, 1])]},
        {"inputs": [history([None], [1, 1])]},
        {"inputs": [history([1], [1, 1], datatype="FP32")]},
        {"inputs": [history([1], [1, 1], name="other")]},
        {"inputs": [history([1], [1, 1]), history([1], [1, 1])]},
        {"inputs": [history([1], [1, 1], parameters={"binary_data_size": 8})]},
        {"inputs": [history([1], [1, 1], parameters={"padding": "x"})]},
        {"inputs": [history([1], [1, 1])], "parameters": {"k": 51}},
        {"inputs": [history([1], [1, 1])], "parameters": {"k": True}},
        {"inputs": [history([1], [1, 1])], "parameters": {"K": 1}},
        {"inputs": [history([1], [1, 1])], "outputs": [{"name": "x"}]},
        {"inputs": [history([1], [1, 1])], "more": 1},
        *(
            {"inputs": [history([1, 2], [2]), {"name": "offsets", "datatype": "INT64", **one}]}
            for one in (
                {"shape": [2], "data": [0, 3]},
                {"shape": [2], "data": [1, 2]},
                {"shape": [3], "data": [0, 3, 2]},
                {"shape": [0], "data": []},
            )
        ),
    ],
)
def test_what_is_impossible_is_refused_in_the_form_of_the_protocol(client: Any, body: Any) -> None:
    response = client.post(INFER, json=body)
    assert response.status_code == 400
    check("error", response.json())
    assert {*response.json()} == {"error"}


@pytest.mark.parametrize("length", ["-1", "x", "9999", "1" * 30])
def test_a_lying_header_is_refused(client: Any, length: str) -> None:
    response = client.post(INFER, content=b'{"inputs": []}', headers={LENGTH: length})
    assert response.status_code == 400
