"""The table of explained variances: the numbers of a data set whose shares are known."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.applications import linear


def test_known_shares_are_printed(monkeypatch, capsys) -> None:
    # Orthogonal columns of variances 8, 1 and 1: two directions explain 9 of 10.
    corners = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    rows = np.tile(corners * np.sqrt([8.0, 1, 1]), (4, 1))
    found = linear.explained(rows, 1)
    assert found["PCA"][0] == pytest.approx(0.8)
    assert found["hidden=()"][0] == pytest.approx(0.8, abs=1e-5)
    assert list(found) == ["PCA", "hidden=()", "default"]
    monkeypatch.setattr(linear, "SETS", ("iris",))
    monkeypatch.setattr(linear, "explained", lambda rows, latent: {"PCA": (0.9777, 1.0)})
    assert linear.main([]) == 0
    assert "0.9777" in capsys.readouterr().out
