"""What every recommender has in common."""

from recae.recommender.base import Recommender
from recae.recommender.blas import ONE_BLAS
from recae.recommender.capacity import largest_catalogue, placed
from recae.recommender.estimator import Estimator
from recae.recommender.factors import FactorRecommender
from recae.recommender.focal import DeepFocalRecommender, FocalRecommender
from recae.recommender.hyperparameters import estimator, learnt, param
from recae.recommender.inverse import blocks, negative_inverse, to_float32
from recae.recommender.linear import LinearRecommender
from recae.recommender.neural import AutoencoderRecommender
from recae.recommender.persistence import expect, load_model
from recae.recommender.rank import (
    Questions,
    RankedLists,
    ScoreRows,
    Scoring,
    check_metric,
    measure,
    measure_lists,
    rank_batches,
    ranked_lists,
    rows_per_batch,
)
from recae.recommender.ratings import rating_error
from recae.recommender.requests import Request, align
from recae.recommender.search import draw
from recae.recommender.slim import implicit_slim
from recae.recommender.slots import Run
from recae.recommender.softmax import SoftmaxRecommender
from recae.recommender.sparse import (
    cells,
    csr_from_arrays,
    csr_to_arrays,
    evidence,
    nearest_columns,
    valued,
)
from recae.recommender.stacking import best_ranking, likeliest
from recae.recommender.start import StartedRecommender
from recae.recommender.svd import SVDRecommender
from recae.recommender.tiles import Products, products

__all__ = [
    "ONE_BLAS",
    "AutoencoderRecommender",
    "DeepFocalRecommender",
    "FocalRecommender",
    "Estimator",
    "FactorRecommender",
    "LinearRecommender",
    "Products",
    "Questions",
    "RankedLists",
    "Recommender",
    "Request",
    "Run",
    "ScoreRows",
    "Scoring",
    "SVDRecommender",
    "SoftmaxRecommender",
    "StartedRecommender",
    "align",
    "best_ranking",
    "cells",
    "check_metric",
    "likeliest",
    "blocks",
    "csr_from_arrays",
    "csr_to_arrays",
    "draw",
    "estimator",
    "evidence",
    "expect",
    "implicit_slim",
    "largest_catalogue",
    "learnt",
    "load_model",
    "measure",
    "measure_lists",
    "nearest_columns",
    "negative_inverse",
    "param",
    "placed",
    "products",
    "rank_batches",
    "ranked_lists",
    "rating_error",
    "rows_per_batch",
    "to_float32",
    "valued",
]
