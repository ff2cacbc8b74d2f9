"""DiffRec and L-DiffRec: settings, clusters of items, and what they learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.neural.diff_rec import clustered

RNG = np.random.default_rng(0)
ROWS = np.zeros((200, 20), dtype=np.float32)
for row in range(200):
    ROWS[row, RNG.choice(10, 5, replace=False) * 2 + row % 2] = 1
PLANTED = sp.csr_matrix(ROWS)  # users like the even items, or the odd ones


@pytest.mark.parametrize(
    "model",
    [
        recae.DiffRec(latent=8, hidden=(), epochs=30, batch_size=20, lr=0.01),
        recae.LDiffRec(latent=8, width=16, epochs=20, batch_size=20, lr=0.02, beta=0.01),
        recae.FlowCF(latent=8, hidden=(), epochs=20, batch_size=20, lr=0.01),
        recae.GiffCF(latent=8, epochs=20, batch_size=20, lr=0.01),
    ],
    ids=lambda model: model.name,
)
def test_it_learns_what_goes_together(model: recae.Recommender) -> None:
    top = model.fit(PLANTED).recommend_array(PLANTED, k=5).items
    assert (top % 2 == (np.arange(200) % 2)[:, None]).mean() > 0.97


def test_clusters_are_the_groups_of_items(tmp_path) -> None:
    found = clustered(PLANTED, 2, seed=0)
    assert len(set(found[::2])) == len(set(found[1::2])) == 1 and found[0] != found[1]
    model = recae.LDiffRec(latent=6, epochs=1).fit(PLANTED, seed=0)
    assert (model.clusters_ == found).all()
    loaded = recae.load(model.save(tmp_path / "model"))
    assert (loaded.clusters_ == found).all()


def test_more_clusters_than_items() -> None:
    found = clustered(sp.csr_matrix(np.ones((5, 3), dtype=np.float32)), 7, seed=0)
    assert found.max() + 1 == len(set(found)) <= 3


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (recae.DiffRec(noise_min=0.02, noise_max=0.01), "noise_max"),
        (recae.LDiffRec(noise_scale=1e-16), "noise_min"),
        (recae.DiffRec(noise_scale=200.0), "noise_scale"),
        (recae.LDiffRec(latent=2, clusters=3), "clusters"),
    ],
)
def test_settings_that_do_not_fit(model: recae.Recommender, name: str) -> None:
    with pytest.raises(recae.ConfigError, match=name):
        model.fit(PLANTED)
