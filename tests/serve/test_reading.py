"""Bodies are read in parts, up to their limit and their deadline, and faults name the field."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.requests import Request

from recae.serve.reading import ARROW, media_type, parsed, read
from recae.serve.refusals import JSON, Refused
from recae.serve.schemas import BatchBody, ExplainBody, RecommendBody
from recae.serve.tensors import InferBody


def request(headers: dict[str, str], messages: Sequence[dict[str, Any]] = ()) -> Request:
    """A request whose body comes in these messages, and then never ends."""
    waiting = [*messages]

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": named}, receive)


def parts(*content: bytes, ends: bool = True) -> list[dict[str, Any]]:
    last = len(content) - 1 if ends else len(content)
    return [
        {"type": "http.request", "body": part, "more_body": place != last}
        for place, part in enumerate(content)
    ]


def body_of(asked: Request, most: int, wait: float = 60) -> Any:
    """The body, or the status of the refusal."""

    async def story() -> Any:
        return await read(asked, most, asyncio.get_running_loop().time() + wait)

    try:
        return asyncio.run(story())
    except Refused as refused:
        return refused.status


@pytest.mark.parametrize(
    ("given", "known", "found"),
    [
        ({"content-type": "application/json"}, (JSON,), JSON),
        ({"content-type": " Application/JSON ; charset=UTF-8"}, (JSON,), JSON),
        ({"content-type": ARROW}, (JSON, ARROW), ARROW),
        ({"content-type": ARROW}, (JSON,), 415),
        ({"content-type": "text/plain"}, (JSON, ARROW), 415),
        ({"content-type": "application/json, text/plain"}, (JSON,), 415),
        ({}, (JSON,), 415),
        ({}, (JSON, ""), ""),
        ({"content-type": JSON, "content-encoding": "identity"}, (JSON,), JSON),
        ({"content-type": JSON, "content-encoding": "GZIP"}, (JSON,), 415),
        ({"content-type": JSON, "content-encoding": "identity, br"}, (JSON,), 415),
    ],
)
def test_the_type_of_a_body(given: dict[str, str], known: Sequence[str], found: Any) -> None:
    try:
        assert media_type(request(given), known) == found
    except Refused as refused:
        assert refused.status == found
        assert refused.parameter in given or refused.parameter == "content-type"


def test_a_body_comes_in_parts() -> None:
    assert body_of(request({}, parts(b"")), 10) == b""
    assert body_of(request({}, parts(b"ab", b"", b"cd")), 4) == b"abcd"
    length = {"content-length": "4"}
    assert body_of(request(length, parts(b"ab", b"cd")), 4) == b"abcd"


@pytest.mark.parametrize("length", ["5", "9" * 17, "9" * 400])
def test_a_large_length_is_refused_before_the_body_comes(length: str) -> None:
    assert body_of(request({"content-length": length}), 4) == 413


@pytest.mark.parametrize("length", [None, "1", "-1", "x", "٣", ""])
def test_more_than_the_limit_is_refused_whatever_the_length_says(length: str | None) -> None:
    asked = request({}, parts(b"abc", b"de", ends=False))
    if length is not None:
        asked.scope["headers"] = [(b"content-length", length.encode())]
    assert body_of(asked, 4) == 413


def test_a_body_that_does_not_end_is_refused_in_time() -> None:
    assert body_of(request({}, parts(b"ab", ends=False)), 10, 0.01) == 408


def test_a_client_that_goes_is_no_fault() -> None:
    messages = [*parts(b"ab", ends=False), {"type": "http.disconnect"}]
    assert body_of(request({}, messages), 10) == 400


@pytest.mark.parametrize(
    ("kind", "body", "status", "parameter"),
    [
        (RecommendBody, b"", 400, None),
        (RecommendBody, b"{", 400, None),
        (RecommendBody, b'{"k": 01}', 400, None),
        (RecommendBody, b"[]", 422, None),
        (RecommendBody, b"null", 422, None),
        (RecommendBody, b'{"K": 1}', 422, "K"),
        (RecommendBody, b'{"history": [1, "a"]}', 422, "history.1"),
        (RecommendBody, b'{"explain": -1}', 422, "explain"),
        (BatchBody, b'{"requests": [{}, {"k": "3"}]}', 422, "requests.1.k"),
        (BatchBody, b'{"requests": [{"history": [1], "l": 1}]}', 422, "requests.0.l"),
        (BatchBody, b"{}", 422, "requests"),
        (ExplainBody, b'{"top": 1001}', 422, "top"),
        (InferBody, b'{"inputs": [{"name": "history"}]}', 422, "inputs.0.shape"),
        (InferBody, b'{"inputs": [{"name": "h", "shape": [1.5]}]}', 422, "inputs.0.shape.0"),
    ],
)
def test_faults_name_the_field(kind: Any, body: bytes, status: int, parameter: str | None) -> None:
    with pytest.raises(Refused) as caught:
        parsed(kind, body)
    assert (caught.value.status, caught.value.parameter) == (status, parameter)
    assert "pydantic" not in caught.value.message and "input_value" not in caught.value.message


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Refused) as caught:
        parsed(BatchBody, b'{"requests": [{"histroy": [1]}]}')
    for name in RecommendBody.model_fields:
        assert name in caught.value.message


def test_a_body_is_read_as_it_is() -> None:
    given: dict[str, Any] = {"history": [1, -(2**63), 2**63 - 1], "k": 3, "rules": {"at_most": 2}}
    for body in (given, json.dumps(given).encode()):
        found = parsed(RecommendBody, body)
        assert (found.history, found.k, found.rules) == (given["history"], 3, {"at_most": 2})
        assert found.user is None and found.explain == 0 and found.exclude_seen is True
