"""The rules of a body, for the model that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recae.serve.refusals import Refused
from recae.serve.shelf import Served


def rules_of(given: Mapping[str, Any], served: Served, parameter: str) -> Any:
    """The rules of a body. Raises Refused (422) for rules that cannot be followed."""
    raise Refused(501, "not_implemented", "rules are not part of this service yet", parameter)
