"""The method `explain` of a fitted recommender, and how a model finds the parts of its scores."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from recae.ranking.batches import RowScores, dense
from recae.recommend.explain.explanation import Explanation
from recae.recommend.explain.parts import Parts, nothing
from recae.recommend.explain.run import explained
from recae.recommend.explain.shapley import shapley
from recae.system.threads import survives_fork


class Explains:
    """Explains scores by the items of the history."""

    personalised: ClassVar[bool] = True

    @survives_fork
    def explain(self, history: Any, items: Any = None, top: int = 5) -> Explanation:
        """The items of each history that added most to the scores of some items.

        history: as in `recommend`, such as the item ids of one user, or {user: item ids}. items:
        one item id or several, explained for every history; None explains the 10 best of each.
        top: items of the history listed for each of them, highest contribution first. A negative
        contribution lowers the score. The contributions of all items of a history, the baseline and
        the reported `error` sum to the score; see `Explanation`, whose `method` says how they were
        found. Raises DataError for an invalid history and for unknown items, ConfigError for `top`.

        >>> why = recae.EASE(l2=1.0).fit(data).explain([0, 1], items=[2], top=1)
        >>> why.contributions["history_item_id"].tolist()
        [1]
        >>> why.totals[["item_id", "baseline", "error"]].round(6).values.tolist()
        [[2.0, 0.0, 0.0]]
        """
        return explained(self, history, items, top)

    def _score_rows(self, matrix: Any) -> RowScores:
        raise NotImplementedError

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """What the items of CSR histories add to the scores of items, (rows, asked) int64; by
        default Shapley values, which need nothing but scores."""
        if self.personalised:
            return shapley(self._score_rows, matrix, columns)
        scores = dense(self._score_rows(matrix)).cpu().double()
        return nothing(matrix, scores.gather(1, columns))
