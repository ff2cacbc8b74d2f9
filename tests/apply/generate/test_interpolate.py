"""The way between two tastes: formulas, and laws of the lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.apply.generate.interpolation import coherence, kept, mixed, path_codes

from .conftest import SIZE


def test_straight_and_spherical() -> None:
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    straight = path_codes(a, b, 3, "straight")
    np.testing.assert_allclose(straight[0], [[2, 0], [1, 2], [0, 4]])
    half = 3 / np.sqrt(2)  # a quarter of a circle in the middle, of the mean length
    np.testing.assert_allclose(
        path_codes(a, b, 3, "spherical")[0], [[2, 0], [half, half], [0, 4]], atol=1e-6
    )
    for way in (b[:, [1, 0]], -a, torch.zeros(1, 2)):  # no arc between them
        np.testing.assert_allclose(
            path_codes(a, way, 5, "spherical"), path_codes(a, way, 5, "straight"), atol=1e-6
        )
    with pytest.raises(recae.ConfigError, match="mean 'straight'"):
        path_codes(a, b, 3, "straigt")


def test_coherence_is_the_mean_cosine() -> None:
    rng = np.random.default_rng(0)
    known = (rng.random((30, 8)) < 0.4).astype(np.float32)
    known[:, 7] = 0  # nobody has it
    lists = np.array([[0, 3, 5, 2], [1, 7, 4, -1], [6, -1, -1, -1]])
    found = coherence(lists, sp.csr_matrix(known))
    for row, expected in zip(lists[:2], found, strict=False):
        cosines = [
            known[:, i]
            @ known[:, j]
            / max(np.linalg.norm(known[:, i]), 1e-9)
            / max(np.linalg.norm(known[:, j]), 1e-9)
            for i in row[row >= 0]
            for j in row[row >= 0]
            if i != j
        ]
        assert expected == pytest.approx(np.mean(cosines))
    assert np.isnan(found[2])


def test_what_is_kept_and_mixed() -> None:
    items = np.array([[[1, 2, 3, 4], [2, 1, 8, 9], [2, 9, 8, 7]]])
    np.testing.assert_array_equal(kept(items, 0), [[1, 0.5, 0.25]])
    np.testing.assert_array_equal(kept(items, -1), [[0.25, 0.75, 1]])
    np.testing.assert_array_equal(mixed(items), [[[1, 2, 3, 4], [1, 2, 9, 8], [2, 9, 8, 7]]])


def test_the_way_goes_from_one_list_to_the_other(vae: Any, people: recae.Interactions) -> None:
    tastes = people.matrix @ sp.csr_matrix(np.kron(np.eye(4), np.ones((SIZE, 1))))
    a, b = (int(np.asarray(tastes[:, t].todense()).argmax()) for t in (0, 3))
    first, second = people.users.ids[[a, b]]
    frame = recae.apply.generate.interpolate(vae, first, second, steps=5, k=6)
    assert frame.columns.tolist() == ["step", "share", "item_id", "score", "rank"]
    assert frame["share"].unique().tolist() == [0, 0.25, 0.5, 0.75, 1]
    seen = {*people.matrix[a].indices, *people.matrix[b].indices}
    assert not seen & {*frame["item_id"]}
    for step, user in ((0, first), (4, second)):
        top = vae.recommend([user], k=6, exclude_items=sorted(seen))
        here = frame[frame["step"] == step]
        assert here["item_id"].tolist() == top["item_id"].tolist()
        np.testing.assert_allclose(here["score"], top["score"], rtol=1e-5)
    # From the first taste to the fourth one.
    ends = frame.groupby("step")["item_id"].agg(lambda ids: (ids // SIZE).median())
    assert ends[0] == 0 and ends[4] == 3
    quality = recae.apply.generate.path_quality(vae, first, second, steps=5, k=6)
    assert quality["kept_a"].is_monotonic_decreasing and quality["kept_b"].is_monotonic_increasing
    assert quality["likelihood_a"].iloc[0] > quality["likelihood_a"].iloc[-1]
    assert quality["likelihood_b"].iloc[0] < quality["likelihood_b"].iloc[-1]
    logs = torch.from_numpy(vae.score(people.matrix[[a]])).log_softmax(1)[0].numpy()
    own = logs[people.matrix[a].indices].mean()
    assert quality["likelihood_a"].iloc[0] == pytest.approx(own, rel=1e-4)


def test_the_way_back_is_the_way(vae: recae.MultVAE) -> None:
    there = recae.apply.generate.interpolate(vae, "u1", "u7", steps=4, k=5, path="spherical")
    back = recae.apply.generate.interpolate(vae, "u7", "u1", steps=4, k=5, path="spherical")
    for step in range(4):
        one, two = there[there["step"] == step], back[back["step"] == 3 - step]
        assert {*one["item_id"]} == {*two["item_id"]}


def test_titles_and_new_users(vae: recae.MultVAE) -> None:
    new = pd.DataFrame({"user_id": ["x", "x", "y"], "item_id": [0, 1, 70]})
    titles = {item: f"item {item}" for item in range(79)}  # one is missing
    frame = recae.apply.generate.interpolate(
        vae, "x", "y", steps=2, k=77, history=new, titles=titles
    )
    expected = [titles.get(item, "") for item in frame["item_id"]]
    assert frame["title"].tolist() == expected
    assert frame.groupby("step").size().tolist() == [77, 77]


@pytest.mark.parametrize(
    "model",
    [
        recae.MultDAE(latent=3, epochs=1),
        recae.VanillaAE(latent=3, epochs=1),
        recae.SparseAE(latent=8, epochs=1),
        recae.MacridVAE(latent=3, width=4, epochs=1),
        recae.HVamp(latent=3, width=4, components=4, epochs=1),
    ],
    ids=lambda model: model.name,
)
def test_models_with_codes(model: Any, people: recae.Interactions) -> None:
    fitted = model.clone().fit(people)
    assert len(recae.apply.generate.interpolate(fitted, "u1", "u2", steps=3, k=4)) == 12


def test_mistakes(vae: Any, people: recae.Interactions, tmp_path: Any) -> None:
    for model in (recae.EASE().fit(people), recae.ELSA(latent=3, epochs=1).fit(people)):
        with pytest.raises(recae.ConfigError, match="MultVAE"):
            recae.apply.generate.interpolate(model, "u1", "u2")
    for options in (
        *({"steps": steps} for steps in (1, True, 10**6, 2.0)),
        *({"k": 0}, {"path": "curved"}),
    ):
        with pytest.raises(recae.ConfigError):
            recae.apply.generate.interpolate(vae, "u1", "u2", **options)
    for titles in (["a"], pd.Series(["a", "b"], index=[1, 1])):
        with pytest.raises(recae.DataError):
            recae.apply.generate.interpolate(vae, "u1", "u2", titles=titles)
    with pytest.raises(recae.DataError, match="unknown user 'nobody'"):
        recae.apply.generate.interpolate(vae, "u1", "nobody")
    loaded = recae.load(vae.save(tmp_path / "model"))
    with pytest.raises(recae.DataError, match="pass data="):
        recae.apply.generate.path_quality(loaded, "u1", "u2", history=people)
    quality = recae.apply.generate.path_quality(loaded, "u1", "u2", history=people, data=people)
    pd.testing.assert_frame_equal(quality, recae.apply.generate.path_quality(vae, "u1", "u2"))
