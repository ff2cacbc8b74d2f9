"""Evaluates models and other systems on a fold; reports and their breakdowns."""

import lazy_loader

from recae.evaluation.breakdown import by_history as by_history
from recae.evaluation.breakdown import by_popularity as by_popularity
from recae.evaluation.external import Lists as Lists
from recae.evaluation.external import Scorer as Scorer
from recae.evaluation.overlap import rank_biased_overlap as rank_biased_overlap
from recae.evaluation.ratings import rating_errors as rating_errors
from recae.evaluation.report import Report as Report
from recae.evaluation.run import evaluate as evaluate
from recae.evaluation.run import rmse as rmse

# `recae.evaluation.comparison` is there without an import of its own.
__getattr__, _, _ = lazy_loader.attach(__name__, submodules=["comparison"])
