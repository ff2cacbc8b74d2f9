"""The limits of the service are checked when they are given, and the token is never shown."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from recae.errors import ConfigError
from recae.serve import Settings
from recae.serve.settings import TOKEN

WHOLE = [one.name for one in fields(Settings) if one.type == "int"]


def test_there_are_as_many_whole_limits_as_are_tested_here() -> None:
    assert {*WHOLE} == {
        *("max_body", "max_batch_body", "max_k", "max_history", "max_batch"),
        *("waiting", "waiting_batches", "threads", "retry_after"),
    }


@pytest.mark.parametrize("name", WHOLE)
def test_whole_limits_are_integers_from_1(name: str) -> None:
    for wrong in (0, -1, 1.5, True, "3", None, float("nan")):
        with pytest.raises(ConfigError) as fault:
            Settings(**{name: wrong})
        assert name in str(fault.value)
    assert getattr(Settings(**{name: 1}), name) == 1


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("timeout", [0, -1, float("nan"), float("inf"), "1", None, True], [0.001, 60]),
        ("batch_wait", [-0.1, 1.1, float("nan"), "0", None], [0, 0.005, 1]),
        ("store_failure", ["ignore", "", None, 1], ["raise", "popular"]),
    ],
)
def test_other_limits_have_their_range(name: str, wrong: list[Any], right: list[Any]) -> None:
    for value in wrong:
        with pytest.raises(ConfigError) as fault:
            Settings(**{name: value})
        assert name in str(fault.value)
    for value in right:
        assert getattr(Settings(**{name: value}), name) == value


@pytest.mark.parametrize(
    "token", ["", "short12", "has a space", "line\nbreak1", "müllerin9", "\x7f234567890", 12345678]
)
def test_a_token_that_is_no_header_is_refused_and_not_shown(token: Any) -> None:
    with pytest.raises(ConfigError) as fault:
        Settings(token=token)
    assert fault.value.parameter == "token"
    assert not token or str(token) not in str(fault.value)


def test_the_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert Settings.from_environment(max_k=7) == Settings(max_k=7)
    monkeypatch.setenv(TOKEN, "secret-of-8")
    found = Settings.from_environment()
    assert found.token == "secret-of-8" and "secret" not in repr(found)
    monkeypatch.setenv(TOKEN, "")  # a service that was meant to be closed
    with pytest.raises(ConfigError):
        Settings.from_environment()


@pytest.mark.parametrize(("most", "usual", "explained"), [(1, 1, 1), (50, 10, 50), (999, 10, 100)])
def test_what_a_request_gets_that_does_not_say_how_many(
    most: int, usual: int, explained: int
) -> None:
    found = Settings(max_k=most)
    assert (found.usual_k, found.max_explained) == (usual, explained)
