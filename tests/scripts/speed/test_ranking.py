"""The benchmarks of ranking and latency, dry, and what they count."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest
import scipy.sparse as sp

from evaluation.kit import synthetic
from evaluation.speed import latency, ranking


@pytest.mark.usefixtures("forks")
def test_ranking_dry(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small = ["--users=40", "--items=300", "--latent=8", "--k=5", "--rounds=1", "--checked=40"]
    sides = ["--sides", "recae", "implicit"]
    assert ranking.main([*small, *sides, "--threads=1", "--dry"]) == 0
    said = capsys.readouterr().out
    assert '"recae": {"lists": 1.0, "places": 1.0}' in said
    assert "recae / implicit: " in said


@pytest.mark.usefixtures("forks")
def test_latency_dry(capsys) -> None:
    small = ["--items", "300", "--latent=8", "--calls=3", "--busy=1", "--dry"]
    assert latency.main(small) == 0
    said = capsys.readouterr().out
    assert "300 items, 3 calls, 1 busy" in said and "Mult-VAE, frame" in said


def test_busy_processes_end() -> None:
    with latency.busy(2) as started:
        assert [process.poll() for process in started] == [None, None]
    assert all(process.poll() is not None for process in started)


def test_lists_are_compared_with_a_full_sort() -> None:
    history = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    factors = np.array([[1, 0], [0, 1], [2, 1], [1, 2]], dtype=np.float32)
    model = ranking.ranker(history, factors)
    # Users are the factors of what they have: scores (1, 0, 2, 1) and (0, 1, 1, 2).
    right = np.array([[2, 3, 1], [3, 2, 0]])
    assert ranking.alike(model, history, right, 2) == {"lists": 1.0, "places": 1.0}
    wrong = np.array([[2, 3, 1], [2, 3, 0]])
    assert ranking.alike(model, history, wrong, 2) == {"lists": 0.5, "places": 4 / 6}


def test_curves_are_drawn(tmp_path) -> None:
    points = [
        {"varied": varied, "users": 2, "items": 3, "k": 1, varied: size, "recae": 1, "product": 2}
        for varied in ranking.CURVES
        for size in (10, 100)
    ]
    ranking.draw(points, Namespace(threads=1, latent=8), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_made_has_a_long_tail() -> None:
    matrix = synthetic.histories(500, 2_000)
    counts = np.sort(np.asarray(matrix.sum(axis=0)).ravel())[::-1]
    assert matrix.shape == (500, 2_000) and matrix.has_canonical_format
    assert counts[:200].sum() > 0.3 * counts.sum()
    assert 5 <= np.diff(matrix.indptr).min() + 2 and 50 < np.diff(matrix.indptr).mean() < 90
    factors = synthetic.item_factors(5_000, 6)
    lengths = np.linalg.norm(factors, axis=1)
    assert factors.shape == (5_000, 6) and factors.dtype == np.float32
    assert lengths[:100].mean() > 1.5 * lengths[-1_000:].mean()


def test_synthetic_users_have_histories_and_other_targets() -> None:
    history, target = synthetic.histories_and_targets(2000, 3000)
    assert history.shape == target.shape == (2000, 3000)
    assert history.multiply(target).nnz == 0
    assert set(history.data) == set(target.data) == {1}
    lengths, hidden = (np.diff(part.indptr) for part in (history, target))
    assert 35 < lengths.mean() < 65 and lengths.min() >= 1
    assert 9 < hidden.mean() <= hidden.max() == 10 and hidden.min() >= 1
    popular = np.bincount(history.indices, minlength=3000)
    assert popular[:100].mean() > 5 * popular[-1000:].mean()  # a power law, the first on top
    again, _ = synthetic.histories_and_targets(2000, 3000)
    assert (again != history).nnz == 0
