"""Whether more of a metric is better, or less."""

LESS_IS_BETTER = ("gini", "popularity", "popularity_lift", "miscalibration")
"""Lists that show more than the head of the catalogue, and what their user is used to."""


def less_is_better(metric: str) -> bool:
    """Whether the lower value of a metric called `name@k` is the better one.

    >>> from recae.metrics import less_is_better
    >>> less_is_better("miscalibration@10"), less_is_better("ndcg@10")
    (True, False)
    """
    return metric.partition("@")[0] in LESS_IS_BETTER
