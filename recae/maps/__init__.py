"""Maps: items, users and codes as points in the plane."""

from recae.maps.colours import Amounts, Groups
from recae.maps.makers import map_codes, map_items, map_users
from recae.maps.map import Map
from recae.maps.quality import Coherence, trustworthiness
from recae.maps.tsne import tsne

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
