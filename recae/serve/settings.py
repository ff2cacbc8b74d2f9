"""The limits of the service: sizes, waiting places, times, and the token."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from recae.errors import ConfigError, check_integer, check_number, check_option, explained
from recae.serve.histories import ON_FAILURE

TOKEN = "RECAE_TOKEN"
"""The environment variable of the bearer token."""

LEAST_TOKEN = 8
"""Characters of a token, at least."""


@explained
@dataclass(frozen=True)
class Settings:
    """The limits of a service. All of them are checked when it is made.

    token: without it everybody may ask, and nobody may reload; with it every request needs
    `Authorization: Bearer TOKEN`, but for health, the page and the OpenAPI schema. max_body: bytes
    of a body, max_batch_body: of one for many users. max_k: items of a list. max_history: items of
    a history. max_batch: users of a batch. waiting: requests of one user that may wait for their
    turn; waiting_batches: the same for batches, reasons and stores. More are refused with 429.
    threads: for these. timeout: seconds until a request that has no answer yet is refused.
    store_failure: for users whose history cannot be looked up because the store is down, slow or
    damaged, "raise" (503 with Retry-After), or "popular" items with a note. batch_wait: seconds
    during which requests of one user are collected to be ranked together, at most 1; 0 ranks each
    at once. retry_after: seconds until a refused client may come back.

    Raises ConfigError for a value that is out of range.

    >>> from recae.serve import Settings
    >>> Settings(max_k=100).max_k
    100
    """

    token: str | None = field(default=None, repr=False)
    max_body: int = 1 << 20
    max_batch_body: int = 32 << 20
    max_k: int = 1000
    max_history: int = 10_000
    max_batch: int = 1000
    waiting: int = 64
    waiting_batches: int = 16
    threads: int = 4
    timeout: float = 10.0
    batch_wait: float = 0.0
    retry_after: int = 1
    store_failure: str = "raise"

    def __post_init__(self) -> None:
        for name in ("max_body", "max_batch_body", "max_k", "max_history", "max_batch"):
            check_integer(name, getattr(self, name))
        for name in ("waiting", "waiting_batches", "threads", "retry_after"):
            check_integer(name, getattr(self, name))
        check_option("store_failure", self.store_failure, ON_FAILURE)
        check_number("timeout", self.timeout, above=0)
        check_number("batch_wait", self.batch_wait, low=0, high=1)
        if self.token is not None:
            check_token(self.token)

    @property
    def usual_k(self) -> int:
        """Items of a list for a request that does not say how many: 10, or `max_k` if less."""
        return min(10, self.max_k)

    @property
    def max_explained(self) -> int:
        """Items whose scores one request may have explained: 100, or `max_k` if that is less."""
        return min(100, self.max_k)

    @classmethod
    def from_environment(cls, **given: Any) -> Settings:
        """These settings, with the token of the environment variable RECAE_TOKEN if it is set.

        Raises ConfigError, also for a token that is set and empty or too short: a service that was
        meant to be closed is not opened by mistake.

        >>> from recae.serve import Settings
        >>> Settings.from_environment(max_k=100).max_k
        100
        """
        return cls(token=os.environ.get(TOKEN), **given)


def check_token(token: object) -> None:
    """Raises ConfigError for a token that is no header or easy to guess. It is never shown."""
    fits = isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token
    if not fits or len(str(token)) < LEAST_TOKEN:
        raise ConfigError(
            f"the token ({TOKEN}) must have at least {LEAST_TOKEN} printable ASCII characters "
            "without spaces; `openssl rand -hex 16` makes one",
            parameter="token",
        )
