"""H+Vamp's start: the biases of the last layer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.neural.h_vamp import log_odds

HAS = sp.csr_matrix(
    np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=np.float32)
)
"""Four users; four, two, one and none of them have items 0 to 3."""

ODDS = [4.5 / 0.5, 2.5 / 2.5, 1.5 / 3.5, 0.5 / 4.5]


def test_log_odds_are_the_counts_written_out() -> None:
    data = recae.Interactions.from_csr(HAS)
    np.testing.assert_allclose(
        log_odds(data.matrix), [math.log(odds) for odds in ODDS], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    ("likelihood", "expected"), [("logistic", np.log(ODDS)), ("multinomial", np.zeros(4))]
)
def test_biases_start_at_the_log_odds(likelihood: str, expected: np.ndarray) -> None:
    data = recae.Interactions.from_csr(HAS)
    settings = recae.HVamp.small | {"epochs": 1, "lr": 1e-9}
    model = recae.HVamp(**settings, likelihood=likelihood).fit(data, progress=False)
    bias = model.network_.get_parameter("decoder.head.bias").detach().numpy()
    np.testing.assert_allclose(bias, expected, atol=1e-6)
