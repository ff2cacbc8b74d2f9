"""Maps: items, users and codes as points in the plane."""

from recae.apply.maps.colours import Amounts, Groups
from recae.apply.maps.layout import Coherence, trustworthiness, tsne
from recae.apply.maps.makers import map_codes, map_items, map_users
from recae.apply.maps.result import Map

__all__ = [
    "Amounts",
    "Coherence",
    "Groups",
    "Map",
    "map_codes",
    "map_items",
    "map_users",
    "trustworthiness",
    "tsne",
]
