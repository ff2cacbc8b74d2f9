"""How good top-k lists are, and how sure the means are; see `lists`, `exposure` and `variety`."""

from recae.metrics.about import popularity_groups
from recae.metrics.accumulator import MetricAccumulator
from recae.metrics.bootstrap import (
    BOOTSTRAP_CELLS,
    bootstrap_interval,
    bootstrap_intervals,
    check_resamples,
    check_share,
    percentile_interval,
    resampled_means,
)
from recae.metrics.lists import Metric, less_is_better, parse_metric, parse_metrics

__all__ = [
    "BOOTSTRAP_CELLS",
    "Metric",
    "MetricAccumulator",
    "bootstrap_interval",
    "bootstrap_intervals",
    "check_resamples",
    "check_share",
    "less_is_better",
    "parse_metric",
    "parse_metrics",
    "percentile_interval",
    "popularity_groups",
    "resampled_means",
]
