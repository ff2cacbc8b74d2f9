"""The rules of a body, for the model that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recae.errors import RecaeError
from recae.recommend.rules import Rules
from recae.serve.refusals import Refused, invalid
from recae.serve.shelf import Served


def rules_of(given: Mapping[str, Any], served: Served, parameter: str, user: Any = None) -> Rules:
    """The rules of a body, with the lists of its user.

    Raises Refused (422) for rules that cannot be followed.
    """
    try:
        return Rules.from_json(given, served.titles).of_user(user)
    except RecaeError as error:
        raise of_rules(error, parameter) from None


def of_rules(error: RecaeError, parameter: str = "rules") -> Refused:
    """The refusal for an error about rules; its parameter is the path of the field in the body."""
    field = "" if error.parameter in (None, "rules") else f".{error.parameter}"
    return invalid(str(error), f"{parameter}{field}")
