"""What scikit-learn asks of an estimator: tags, and whether it is fitted; imported when asked."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from recae.errors import NotFittedError


class Manners:
    """The protocol of scikit-learn 1.6 and later, which is imported only when it asks.

    A class declares `_kind`, "transformer", "outlier_detector" or None, and `_mark`, an
    attribute that fitting sets; `_input_tags` says which examples it reads.
    """

    _kind: ClassVar[str | None] = None
    _mark: ClassVar[str] = "fitted_params_"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self._mark)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        transforms = self._kind == "transformer"
        return Tags(
            estimator_type=self._kind,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]) if transforms else None,
            input_tags=InputTags(**self._input_tags()),
        )

    def _input_tags(self) -> dict[str, bool]:
        """The values of `sklearn.utils.InputTags` that differ from its defaults."""
        return {"sparse": True}

    def _not_fitted(self) -> Exception:
        """A NotFittedError; once scikit-learn is imported, one that is also scikit-learn's."""
        message = f"this {type(self).__name__} is not fitted: call fit first"
        exceptions = sys.modules.get("sklearn.exceptions")
        if exceptions is None:
            return NotFittedError(message)
        members = {
            "__module__": NotFittedError.__module__,
            "__reduce__": lambda self: (NotFittedError, self.args),
        }
        bases = (NotFittedError, exceptions.NotFittedError)
        both: type[Exception] = type("NotFittedError", bases, members)
        return both(message)
