"""Colours and marks of a map, in the light and in the dark.

The groups' colours were searched for so that any two of them, and the grey of the others, stay
apart for people with normal vision and with each of the three colour blindnesses (simulated after
Machado, Oliveira & Fernandes, IEEE TVCG 15, 2009; the smallest distance, CIEDE2000, is above 10),
with a contrast to the paper of at least 2.5 to 1. Each has a mark of its own besides.
"""

from __future__ import annotations

LIGHT = ("#2001ff", "#dd7705", "#01b77e", "#aa4871", "#485700", "#4388ff", "#851e88", "#d41844")
DARK = ("#5d86ff", "#ff9fab", "#10a465", "#c51200", "#93cf10", "#31d0ff", "#7505f3", "#9f3357")
OTHER_LIGHT, OTHER_DARK = "#a3abb3", "#77818c"
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""As matplotlib calls them; `draw.js` draws the same."""

SCALE = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
)
"""Of amounts, from dark to light: viridis (van der Walt & Smith, 2015) without its last ninth."""
SKIPPED_IN_THE_DARK = 2
"""The first colours of SCALE are no lighter than a dark page."""
