"""Refusals: the status and the form of what the service does not answer."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from recae.errors import CapacityError, ConfigError, DataError, RecaeError, StorageError
from recae.serve.refusals import (
    MOST_TEXT,
    Refused,
    explained,
    invalid,
    response,
    too_many,
    unavailable,
    unreadable,
)


def test_each_refusal_has_its_status() -> None:
    for refused, status in (
        (unreadable("no JSON"), 400),
        (invalid("k is 0", "k"), 422),
        (too_many(3), 429),
        (unavailable("closing", "it ends", 4), 503),
    ):
        made = response(refused)
        error = json.loads(made.body)["error"]
        assert made.status_code == status
        assert error["code"] == refused.code and error["message"] == refused.message
        assert error.get("parameter") == refused.parameter
        wait = {429: "3", 503: "4"}.get(status)
        assert made.headers.get("retry-after") == wait
        assert made.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("error", "status", "parameter"),
    [
        (DataError("no such item", parameter="history"), 422, "history"),
        (ConfigError("no such rule", parameter="rules"), 422, "rules"),
        (StorageError("no such folder"), 422, None),
        (CapacityError("too large"), 503, None),
    ],
)
def test_errors_of_recae_are_refusals(
    error: RecaeError, status: int, parameter: str | None
) -> None:
    refused = explained(error, retry_after=9)
    assert (refused.status, refused.parameter) == (status, parameter)
    assert refused.message == str(error)
    assert refused.headers == ({"retry-after": "9"} if status == 503 else {})


def test_the_protocol_has_a_text_in_place_of_an_object() -> None:
    made = response(invalid("the shape is wrong", "history"), protocol=True)
    assert json.loads(made.body) == {"error": "the shape is wrong"}


@pytest.mark.parametrize("protocol", [False, True])
def test_texts_of_a_client_are_cut_and_may_be_anything(protocol: bool) -> None:
    for text in ("x" * 5000, "\ud800" * 700, "é" * 501, "\0\x1b[0m"):
        made = response(Refused(422, "invalid", text, text), protocol)
        error = json.loads(made.body)["error"]
        shown = error if protocol else error["message"]
        assert 0 < len(shown) <= MOST_TEXT
        if not protocol:
            assert len(error["parameter"]) <= MOST_TEXT
    short = "y" * MOST_TEXT
    found = json.loads(response(invalid(short)).body)["error"]
    assert found["message"] == short and "parameter" not in found
