"""Codes to read and to turn: tastes in a recommender's latent space, and steering by them."""

from recae.steer.find import find_tastes
from recae.steer.keeping import load_tastes
from recae.steer.tastes import Tastes

__all__ = ["Tastes", "find_tastes", "load_tastes"]
