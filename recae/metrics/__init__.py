"""Metrics of top-k lists (see `metric` and `beyond_accuracy`) and bootstrap intervals of means."""

from recae.metrics.accumulator import MetricAccumulator as MetricAccumulator
from recae.metrics.beyond_accuracy import FloatArray as FloatArray
from recae.metrics.beyond_accuracy import popularity_groups as popularity_groups
from recae.metrics.bootstrap import bootstrap_interval as bootstrap_interval
from recae.metrics.bootstrap import bootstrap_intervals as bootstrap_intervals
from recae.metrics.bootstrap import percentile_interval as percentile_interval
from recae.metrics.bootstrap import resampled_means as resampled_means
from recae.metrics.hits import IntArray as IntArray
from recae.metrics.metric import AnyMetric as AnyMetric
from recae.metrics.metric import Metric as Metric
from recae.metrics.metric import less_is_better as less_is_better
from recae.metrics.metric import parse_metric as parse_metric
from recae.metrics.metric import parse_metrics as parse_metrics
from recae.metrics.metric import uses_weights as uses_weights
from recae.metrics.ranks import TargetRanks as TargetRanks
from recae.metrics.ranks import target_ranks as target_ranks
