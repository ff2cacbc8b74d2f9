"""Metrics of top-k lists (see `metric` and `beyond_accuracy`) and bootstrap intervals of means."""

from recae.metrics.accumulator import MetricAccumulator
from recae.metrics.beyond_accuracy import FloatArray, popularity_groups
from recae.metrics.bootstrap import (
    BOOTSTRAP_CELLS,
    bootstrap_interval,
    bootstrap_intervals,
    check_share,
    percentile_interval,
    resampled_means,
)
from recae.metrics.metric import (
    AnyMetric,
    IntArray,
    Metric,
    less_is_better,
    parse_metric,
    parse_metrics,
)

__all__ = [
    "BOOTSTRAP_CELLS",
    "AnyMetric",
    "FloatArray",
    "IntArray",
    "Metric",
    "MetricAccumulator",
    "bootstrap_interval",
    "bootstrap_intervals",
    "check_share",
    "less_is_better",
    "parse_metric",
    "parse_metrics",
    "percentile_interval",
    "popularity_groups",
    "resampled_means",
]
