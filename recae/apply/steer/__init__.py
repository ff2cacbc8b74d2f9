"""Interpretable directions in a recommender's latent space, and recommendations shifted by them."""

from recae.apply.steer.find import find_tastes
from recae.apply.steer.tastes import Tastes

__all__ = ["Tastes", "find_tastes"]
