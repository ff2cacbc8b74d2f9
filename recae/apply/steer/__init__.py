"""Codes to read and to turn: tastes in a recommender's latent space, and steering by them."""

from recae.apply.steer.find import find_tastes
from recae.apply.steer.storage import load_tastes
from recae.apply.steer.tastes import Tastes

__all__ = ["Tastes", "find_tastes", "load_tastes"]
