"""Maps of items, of users and of codes: what is where, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import recae
from recae.apply.maps import Amounts, Groups
from recae.apply.maps.colours import taste


def alike(map: recae.apply.maps.Map, kinds: np.ndarray, k: int = 5) -> float:
    """The share of the k nearest on the map that are of the same kind, counted one by one."""
    total = 0.0
    for i, place in enumerate(map.positions):
        apart = ((map.positions - place) ** 2).sum(axis=1)
        apart[i] = np.inf
        total += float(np.mean(kinds[np.argsort(apart)[:k]] == kinds[i]))
    return total / len(kinds)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_planted_clusters_are_apart(codes: np.ndarray, method: str) -> None:
    kinds = np.repeat([0, 1, 2], 20)
    drawn = recae.apply.maps.map_codes(codes, method=method)
    assert alike(drawn, kinds) > 0.97  # a third by chance
    assert drawn.provenance["trustworthiness"] > 0.85
    assert drawn.what == "point" and drawn.ids.tolist() == [*range(60)]
    assert recae.apply.maps.map_codes(torch.tensor(codes), method=method).positions.shape == (60, 2)


@pytest.mark.parametrize(
    "model",
    [
        recae.PureSVD(latent=4),
        recae.EASE(l2=5),
        recae.SparseEASE(),
        recae.ItemKNN(),
        recae.UserKNN(neighbours=20),
        recae.InfiniteAE(),
    ],
)
def test_items_of_a_taste_are_together(
    model: recae.Recommender, plays: recae.Interactions, titles: pd.DataFrame
) -> None:
    drawn = recae.apply.maps.map_items(model.fit(plays), titles)
    kinds = (drawn.ids.astype(int) - 100) % 3
    assert alike(drawn, kinds) > 0.8
    assert drawn.titles[3] == f"Film {drawn.ids[3]}"
    counts = pd.Series(plays.matrix.indices).value_counts().sort_index().to_numpy()
    assert drawn.colours["users"].values.tolist() == counts.tolist()
    found = drawn.coherence(k=5)
    assert found.share > 0.8 > 0.65 > found.chance


@pytest.mark.parametrize("model", [recae.PureSVD(latent=4), recae.EASE(l2=5)])
def test_users_of_a_taste_are_together(
    model: recae.Recommender, plays: recae.Interactions, titles: pd.DataFrame
) -> None:
    model = model.fit(plays)
    ages = pd.DataFrame({"user_id": np.arange(90), "age": np.arange(90) % 50 + 1.0})
    drawn = recae.apply.maps.map_users(
        model, about=ages, titles=titles[["item_id", "title", "genres"]]
    )
    assert alike(drawn, np.arange(90) % 3) > 0.9
    tastes = drawn.colours["genres"]
    assert isinstance(tastes, Groups)
    right = [text == ("war", "love", "space")[u % 3] for u, text in enumerate(tastes.texts())]
    assert np.mean(right) > 0.8  # what stands out of ten plays may be "long", by chance
    assert drawn.colours["age"].values[7] == 8
    lengths = np.diff(plays.matrix.indptr)
    assert drawn.colours["items"].values.tolist() == lengths.tolist()
    some = plays.select_users([5, 80, 3, 9, 11, 60, 61])
    assert recae.apply.maps.map_users(model, some, min_items=1).ids.tolist() == [
        5,
        80,
        3,
        9,
        11,
        60,
        61,
    ]


def test_the_same_seed_draws_the_same(codes: np.ndarray) -> None:
    one, same, other = (
        recae.apply.maps.map_codes(codes, seed=seed).positions for seed in (4, 4, 5)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_positions_belong_to_ids_whatever_their_order(codes: np.ndarray) -> None:
    ids = np.array([f"p{i}" for i in range(60)], dtype=object)
    order = np.random.default_rng(0).permutation(60)
    about = pd.DataFrame({"id": ids, "title": ids + "!", "kind": np.repeat([*"abc"], 20)})
    first = recae.apply.maps.map_codes(codes, ids, about, method="pca")
    mixed = recae.apply.maps.map_codes(
        codes[order], ids[order], about.sample(frac=1, random_state=1), method="pca"
    )
    back = pd.Series(range(60), index=mixed.ids)[first.ids].to_numpy()
    assert np.allclose(mixed.positions[back], first.positions)
    assert [mixed.titles[at] for at in back] == list(first.titles) == [*(ids + "!")]
    shown = mixed.colours["kind"]
    assert isinstance(shown, Groups)
    assert [shown.texts()[at] for at in back] == [*np.repeat([*"abc"], 20)]
    near = recae.apply.maps.map_codes(codes[order], ids[order]).near
    assert {ids[order][at] for at in near[back[0]]} == {ids[at] for at in first.near[0]}


def test_items_match_the_models_whatever_the_order_of_rows(
    plays: recae.Interactions, titles: pd.DataFrame
) -> None:
    rows = plays.to_frame().sample(frac=1, random_state=3)
    mixed = recae.PureSVD(latent=4).fit(rows)
    whole = recae.PureSVD(latent=4).fit(plays)
    one, other = (
        recae.apply.maps.map_items(m, titles, method="pca").to_frame() for m in (whole, mixed)
    )
    pd.testing.assert_frame_equal(one, other)


def test_popularity_does_not_shape_the_map(plays: recae.Interactions) -> None:
    # One coordinate is the logarithm of the count: it is what is taken out, and nothing else.
    from recae.apply.maps.vectors import prepared

    rng = np.random.default_rng(0)
    counts = rng.integers(1, 500, size=40)
    taste = rng.normal(size=(40, 3))
    level = np.log(counts + 1)
    centred = level - level.mean()
    taste -= taste.mean(axis=0)
    taste -= np.outer(centred, centred @ taste) / (centred @ centred)
    found = prepared(np.column_stack([taste, 5 * level]), "euclidean", counts)
    assert np.allclose(found, np.column_stack([taste, np.zeros(40)]))
    long = prepared(np.column_stack([taste, 5 * level]), "cosine", counts)
    assert np.allclose(np.linalg.norm(long, axis=1), 1)


def test_rare_items_are_left_out_and_counted(svd: recae.PureSVD) -> None:
    counts = svd.item_counts_
    drawn = recae.apply.maps.map_items(svd, min_users=25, method="pca")
    assert drawn.ids.tolist() == svd.items_.ids[counts >= 25].tolist()
    assert drawn.provenance["left_out"] == int((counts < 25).sum()) > 0


def test_equal_vectors_and_few_points_can_be_drawn() -> None:
    codes = np.repeat([[0.0, 0.0], [1.0, 2.0]], 6, axis=0)
    drawn = recae.apply.maps.map_codes(codes)
    assert np.isfinite(drawn.positions).all() and alike(drawn, np.repeat([0, 1], 6)) > 0.9
    assert np.isfinite(recae.apply.maps.map_codes([[0.0], [1.0], [5.0]]).positions).all()


def test_a_model_without_notion_of_items_is_refused(plays: recae.Interactions) -> None:
    for model in (recae.Popularity(), recae.Random()):
        with pytest.raises(recae.ConfigError, match="as MultVAE"):
            recae.apply.maps.map_items(model.fit(plays))
        with pytest.raises(recae.ConfigError, match="as MultVAE"):
            recae.apply.maps.map_users(model)
    with pytest.raises(recae.ConfigError, match="recae.apply.maps.map_codes"):
        recae.apply.maps.map_items("model")  # type: ignore[arg-type]
    with pytest.raises(recae.errors.NotFittedError):
        recae.apply.maps.map_items(recae.EASE())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "tnse"}, "mean 'tsne'"),
        ({"distance": "l1"}, "unknown distance"),
        ({"seed": 0.5}, "seed"),
        ({"min_users": 0}, "min_users"),
        ({"min_users": 2.5}, "min_users"),
        ({"remove_popularity": "yes"}, "remove_popularity"),
        ({"progress": 1}, "progress"),
    ],
)
def test_wrong_options(svd: recae.PureSVD, options: dict, message: str) -> None:
    with pytest.raises(recae.ConfigError, match=message):
        recae.apply.maps.map_items(svd, **options)


def test_unusable_codes(codes: np.ndarray, svd: recae.PureSVD) -> None:
    broken = codes.copy()
    broken[7, 1] = np.nan
    with pytest.raises(recae.DataError, match="of 1 points .* 7"):
        recae.apply.maps.map_codes(broken)
    with pytest.raises(
        recae.DataError, match=r"\(n, d\) numbers; found float64 of shape \(2, 3, 3"
    ):
        recae.apply.maps.map_codes(np.zeros((2, 3, 3)))
    with pytest.raises(recae.DataError, match="all 4 points"):
        recae.apply.maps.map_codes(np.ones((4, 2)))
    with pytest.raises(recae.DataError, match="3 points.* 2"):
        recae.apply.maps.map_codes(np.eye(2))
    with pytest.raises(recae.DataError, match="60 codes .* 3 ids"):
        recae.apply.maps.map_codes(codes, ids=[1, 2, 3])
    with pytest.raises(recae.DataError, match="min_users"):
        recae.apply.maps.map_items(svd, min_users=1000)
    with pytest.raises(recae.DataError, match="min_items"):
        recae.apply.maps.map_users(svd, min_items=1000)


def test_neural_ease_has_neither_vectors_nor_codes_but_a_map(plays: recae.Interactions) -> None:
    model = recae.NeuralEASE(epochs=1).fit(plays)
    with pytest.raises(recae.ConfigError, match="NeuralEASE .*item embeddings"):
        _ = model.item_embeddings_
    with pytest.raises(recae.ConfigError, match="NeuralEASE .*latent space"):
        model.embed_users(plays)
    assert "scores" in recae.apply.maps.map_items(model, method="pca").provenance["vectors"]
    assert len(recae.apply.maps.map_users(model, method="pca").ids) == 90


def test_users_need_a_history(svd: recae.PureSVD, tmp_path) -> None:
    bare = recae.load(svd.save(tmp_path / "model"))
    with pytest.raises(recae.DataError, match="with_history=True"):
        recae.apply.maps.map_users(bare)


def test_numbers_are_no_names(
    drawn: recae.apply.maps.Map, svd: recae.PureSVD, codes: np.ndarray
) -> None:
    assert drawn.named and not recae.apply.maps.map_items(svd, method="pca").named
    words = [f"p{i}" for i in range(60)]
    assert recae.apply.maps.map_codes(codes, words, method="pca").named


def test_amounts_are_numbers(drawn: recae.apply.maps.Map) -> None:
    year = drawn.colours["year"]
    assert isinstance(year, Amounts) and not year.logarithmic
    assert Amounts(np.array([1.0, 2, 4, 300.0, np.nan])).logarithmic
    assert not Amounts(np.array([1.0, 18, 25, 35, 45, 50, 56])).logarithmic  # ages, and one odd
    assert not Amounts(np.array([0.0, 30.0])).logarithmic


def test_a_user_has_a_taste_only_of_what_is_in_the_history() -> None:
    # User 0 has items without a label alone; 1 and 2 have the two labels; 3 has "a" below usual.
    cells = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 2), (3, 2), (3, 0), (3, 1)]
    frame = pd.DataFrame(cells, columns=["user_id", "item_id"])
    history = recae.Interactions.from_frame(frame)
    labels = pd.DataFrame({"item_id": range(5), "genres": ["", "", "a", "a", "b"]})
    found = taste(history, labels.assign(title=[*"vwxyz"]))["genres"]
    assert found.texts() == ["", "a", "b", "a"]
    only = taste(history, labels.assign(title=[*"vwxyz"], genres="all"))["genres"]
    assert (
        only.texts() == ["all"] * 4
    )  # all the same: nothing stands out, and nothing else is there


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_the_unit_of_codes_does_not_matter(codes: np.ndarray, unit: float) -> None:
    plain, other = recae.apply.maps.map_codes(codes), recae.apply.maps.map_codes(codes * unit)
    assert other.provenance["divergence"] == pytest.approx(plain.provenance["divergence"], rel=0.05)
    assert alike(other, np.repeat(range(3), 20)) > 0.95
    with pytest.raises(recae.DataError, match="1e\\+100"):
        recae.apply.maps.map_codes(codes * 1e200)


def test_a_title_is_text(drawn: recae.apply.maps.Map, tmp_path) -> None:
    for write in (drawn.plot, drawn.html):
        with pytest.raises(recae.ConfigError, match="title .* 3"):
            write(tmp_path / "map.html", title=3)
