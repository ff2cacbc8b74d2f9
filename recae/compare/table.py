"""A comparison that prints whole."""

from __future__ import annotations

import pandas as pd


class Comparison(pd.DataFrame):
    """The frame of `recae.compare`: printed, it shows all columns with four figures.

    What is made of it is a plain DataFrame.

    >>> Comparison({"difference": [0.123456], "p": [1e-9], "better": ["a"]})
     difference     p better
         0.1235 1e-09      a
    """

    def __repr__(self) -> str:
        """All rows and columns, without the numbers of the rows."""
        return self.to_string(float_format="%.4g", index=False)
