"""The laws of state, for every model: seeds, inputs, the process, and models on disk."""

from __future__ import annotations

import random as python_random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone as sklearn_clone
from threadpoolctl import threadpool_info, threadpool_limits

import recae
from recae import ConfigError, DataError, Interactions, models
from tests.laws import assert_same_frames


def test_the_same_seed_gives_the_same_model_and_another_one_another(
    make, random, fitted, text_data
) -> None:
    scores = fitted.score(text_data)
    np.testing.assert_array_equal(make().fit(text_data, seed=1).score(text_data), scores)
    other = make().fit(text_data, seed=2).score(text_data)
    assert np.array_equal(other, scores) != random


def test_fitting_again_forgets_the_first_fit(make, text_data, int_data) -> None:
    model = make().fit(text_data, seed=3).fit(int_data, seed=1)
    fresh = make().fit(int_data, seed=1)
    np.testing.assert_array_equal(model.score(int_data), fresh.score(int_data))
    pd.testing.assert_frame_equal(model.recommend(), fresh.recommend())


@pytest.mark.parametrize("seed", [None, -1, 1.5, "1"])
def test_a_seed_is_a_natural_number(make, text_data, seed) -> None:
    with pytest.raises(ConfigError, match="^seed .*>= 0"):
        make().fit(text_data, seed=seed)


def parts(matrix: sp.csr_matrix) -> list[np.ndarray]:
    return [matrix.data, matrix.indices, matrix.indptr]


def test_inputs_stay_as_they_were(make, int_frame, int_data) -> None:
    frame, matrix = int_frame.copy(), int_data.matrix.copy()
    assert all(array.flags.writeable for array in parts(matrix))
    kept = [array.copy() for array in parts(matrix)]
    original = [array.copy() for array in parts(int_data.matrix)]
    for data in (int_data, frame, matrix):
        model = make().fit(data)
        model.score(data)
        model.recommend(history=data)
        model.recommend_array(data, exclude_seen=False)
    pd.testing.assert_frame_equal(frame, int_frame)
    for before, after in zip(kept, parts(matrix), strict=True):
        assert before.dtype == after.dtype and before.tobytes() == after.tobytes()
    for before, after in zip(original, parts(int_data.matrix), strict=True):
        assert before.tobytes() == after.tobytes() and not after.flags.writeable


def test_a_matrix_that_changes_after_fit_changes_nothing(make, text_data) -> None:
    matrix = text_data.matrix.copy()
    view = matrix[3:9]
    model = make().fit(matrix)
    before = model.recommend(range(2, 9)), model.score(view)
    kept = view.copy()
    matrix.data[:], matrix.indices[:] = 7, 0
    pd.testing.assert_frame_equal(model.recommend(range(2, 9)), before[0])
    np.testing.assert_array_equal(model.score(kept), before[1])


def process_state() -> dict[str, object]:
    return {
        "python": python_random.getstate(),
        "numpy": [str(part) for part in np.random.get_state(legacy=True)],
        "torch": torch.random.get_rng_state().tolist(),
        "torch threads": torch.get_num_threads(),
        "pools": sorted((pool["filepath"], pool["num_threads"]) for pool in threadpool_info()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "filters": list(warnings.filters),
        "numpy errors": np.geterr(),
    }


def test_the_process_stays_as_it_was(make, text_data, tmp_path) -> None:
    with threadpool_limits(2, user_api="blas"):
        before = process_state()
        model = make().fit(text_data)
        assert process_state() == before
        model.recommend(k=3)
        model.score(text_data)
        recae.load(model.save(tmp_path / "model")).score(text_data)
        assert process_state() == before


def test_two_threads_at_once_give_the_same(fitted, text_data) -> None:
    expected, scores = fitted.recommend(k=5), fitted.score(text_data)
    with threadpool_limits(2, user_api="blas"):
        before = process_state()
        with ThreadPoolExecutor(2) as pool:
            frames = [pool.submit(fitted.recommend, k=5, batch_size=3) for _ in range(4)]
            tables = [pool.submit(fitted.score, text_data) for _ in range(4)]
            for frame in frames:
                assert_same_frames(frame.result(), expected)
            for table in tables:
                np.testing.assert_array_equal(table.result(), scores)
        assert process_state() == before


def test_a_loaded_model_is_the_model(fitted, fitted_int, text_data, int_data, tmp_path) -> None:
    for model, data in ((fitted, text_data), (fitted_int, int_data)):
        path = tmp_path / str(data.items.kind)
        assert model.save(path) == path
        loaded = recae.load(str(path))
        assert type(loaded) is type(model) and repr(loaded) == repr(model)
        assert loaded.get_params() == model.get_params()
        assert loaded.items_ == model.items_
        assert loaded.item_counts_.tolist() == model.item_counts_.tolist()
        np.testing.assert_array_equal(loaded.score(data), model.score(data))
        options = {"history": data, "k": 16, "users": data.users.ids[:9].tolist()}
        pd.testing.assert_frame_equal(loaded.recommend(**options), model.recommend(**options))
        with pytest.raises(DataError, match="no interactions: .*history=.*with_history"):
            loaded.recommend()
        with pytest.raises(DataError, match="no interactions.*save"):
            loaded.save(tmp_path / "again", with_history=True)
        assert not (tmp_path / "again").exists()


def test_a_loaded_model_with_its_history_needs_nothing(make, text_data, int_data, tmp_path):
    # The users in an order that no sorting gives, one of them without any interaction.
    mixed = text_data.select_users(np.random.default_rng(1).permutation(36))
    unsorted = Interactions.from_csr(
        sp.vstack([mixed.matrix, sp.csr_matrix((1, 16))]),
        users=[*mixed.users.ids, "nobody"],
        items=mixed.items,
    )
    for place, data in enumerate((unsorted, int_data)):
        model = make().fit(data)
        loaded = recae.load(model.save(tmp_path / str(place), with_history=True))
        pd.testing.assert_frame_equal(
            loaded.recommend(on_unknown="popular"), model.recommend(on_unknown="popular")
        )
        assert loaded.history_.fingerprint() == data.fingerprint()
        assert (loaded.history_.times is None) == (data.times is None)
        if data.times is not None:
            np.testing.assert_array_equal(loaded.history_.times, data.times)
        loaded.save(tmp_path / "again", with_history=True, overwrite=True)
        assert recae.load(tmp_path / "again").history_.fingerprint() == data.fingerprint()


def test_it_is_cloned_and_shown_as_an_estimator(make, name, fitted, text_data) -> None:
    for copy in (fitted.clone(), sklearn_clone(fitted), eval(repr(fitted), vars(models).copy())):
        assert type(copy) is recae.MODELS[name] and copy is not fitted
        assert copy.get_params() == make().get_params() == fitted.get_params()
        assert not hasattr(copy, "items_") and not hasattr(copy, "history_")
        np.testing.assert_array_equal(
            copy.fit(text_data, seed=1).score(text_data), fitted.score(text_data)
        )


def test_every_hyperparameter_is_documented_and_its_default_is_valid(name) -> None:
    kind = recae.MODELS[name]
    assert kind.name == name
    kind().check_params()
    for param in kind.param_fields():
        assert f"    {param} (default " in kind.__doc__


def test_the_exported_rows_are_the_recommended_rows(fitted, fitted_int, tmp_path) -> None:
    for model in (fitted, fitted_int):
        path = tmp_path / "top.parquet"
        rows = model.export(path, k=5, batch_size=7, overwrite=True)
        expected = model.recommend(k=5, batch_size=7)
        assert rows == len(expected)
        table = pq.read_table(path)
        assert table.to_pylist() == expected.to_dict("records")


@pytest.mark.parametrize(("shape", "seen"), [((1, 1), 0), ((1, 6), 2), ((6, 1), 0)])
def test_one_user_or_one_item_is_enough(make, sparing, proper, shape, seen) -> None:
    matrix = sp.csr_matrix(np.ones(shape))
    model = make().fit(matrix)
    assert proper(model.score(matrix))
    assert len(model.recommend()) == 0
    assert len(model.recommend(exclude_seen=False)) == matrix.nnz or sparing


def test_items_and_users_without_interactions_do_no_harm(make, sparing, proper, text_data) -> None:
    matrix = sp.csr_matrix(sp.block_diag([text_data.matrix, sp.csr_matrix((2, 3))]))
    model = make().fit(matrix)
    assert model.item_counts_[-3:].tolist() == [0, 0, 0]
    assert proper(model.score(matrix))
    lists = model.recommend(range(36), k=19).groupby("user_id")
    # Nobody has the three new items: nothing speaks for them, and nothing against.
    assert (lists.size() >= (0 if sparing else 3)).all()
    assert not sparing or lists["item_id"].max().max() < 16


def test_nothing_to_learn_from_is_refused(make) -> None:
    with pytest.raises(DataError, match="no interactions"):
        make().fit(sp.csr_matrix((3, 4)))
    with pytest.raises(DataError, match="expected Interactions"):
        make().fit(np.ones((3, 4)))
