"""The arrays of loaded models cannot be written, and tensors made of them share their memory."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.recommend.frozen import tensor_of

NAMES = {
    "popularity": ["item_scores_"],
    "random": ["item_keys_"],
    "pure-svd": ["input_factors_", "item_factors_"],
    "als": ["item_factors_"],
    "bpr": ["item_factors_", "item_biases_"],
    "item-knn": ["similarity_.data", "similarity_.indices", "similarity_.indptr"],
    "ensemble": ["member_weights_"],
}


@pytest.fixture(scope="module")
def data() -> recae.Interactions:
    drawn = np.random.default_rng(3).random((40, 12)) < 0.4
    return recae.Interactions.from_csr(sp.csr_matrix(drawn.astype(np.float32)))


@pytest.mark.parametrize("name", NAMES)
def test_arrays_of_a_loaded_model_cannot_be_written(name, data, tmp_path: Path):
    kind = recae.MODELS[name]
    fitted = kind(**kind.small).fit(data)
    folder = fitted.save(tmp_path / name)
    before = (folder / "model.safetensors").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of arrays that are read-only
        model = recae.load(folder, recae.Recommender)
        for place in [*NAMES[name], "item_counts_"]:
            array = model
            for part in place.split("."):
                array = getattr(array, part)
            with pytest.raises(ValueError, match="read-only"):
                array[:1] = 0
        assert model.recommend_ids([1, 2, 3], 5) == fitted.recommend_ids([1, 2, 3], 5)
        assert model.recommend(history=data).equals(fitted.recommend(history=data))
        assert model.fingerprint() == fitted.fingerprint()
    assert (folder / "model.safetensors").read_bytes() == before
    model.fit(data)
    assert model.recommend_ids([1, 2, 3], 5) == fitted.recommend_ids([1, 2, 3], 5)


def test_parameters_of_a_loaded_network_cannot_be_written_by_mistake(data, tmp_path: Path):
    folder = recae.MultVAE(**recae.MultVAE.small).fit(data).save(tmp_path / "vae")
    model = recae.load(folder, recae.MultVAE)
    for parameter in model.network_.parameters():
        with pytest.raises(RuntimeError):
            parameter[:1] = 0
    assert recae.load(folder).fingerprint() == model.fingerprint()


def test_a_tensor_of_a_read_only_array_has_its_numbers_and_its_memory():
    held = torch.arange(6.0).view(2, 3)
    array = held.numpy().view()
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tensor_of(array).data_ptr() == held.data_ptr()
        for other in (
            array.T,
            array[::-1],
            array[:1],
            array[:, 1:],
            np.broadcast_to(array[0], (3, 3)),
        ):
            other.flags.writeable = False
            np.testing.assert_array_equal(tensor_of(other).numpy(), other)
