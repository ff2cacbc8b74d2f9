"""What every recommender has in common."""

from recae.recommender.base import Recommender, Run
from recae.recommender.estimator import Estimator
from recae.recommender.hyperparameters import estimator, learnt, param
from recae.recommender.neural import AutoencoderRecommender
from recae.recommender.persistence import expect, load_model
from recae.recommender.rank import measure
from recae.recommender.requests import Request
from recae.recommender.tiles import products

__all__ = [
    "AutoencoderRecommender",
    "Estimator",
    "Recommender",
    "Request",
    "Run",
    "estimator",
    "expect",
    "learnt",
    "load_model",
    "measure",
    "param",
    "products",
]
