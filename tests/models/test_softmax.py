"""Full or sampled softmax, float32 or bfloat16: what is chosen, what is said, what it learns."""

import logging

import numpy as np
import pytest
import torch

import recae
from recae.models.neural import _base
from recae.nn import LinearHead
from recae.training import Epoch, SampledLoader, SparseLoader

N_ITEMS = 60
SAMPLED = [recae.MultVAE, recae.MultDAE, recae.RecVAE, recae.VanillaAE]


@pytest.mark.parametrize("model", SAMPLED)
def test_a_sampled_softmax_finds_planted_tastes(model, planted, own_group) -> None:
    epochs = 15 if model is recae.RecVAE else 60  # an epoch of RecVAE is four passes
    settings = dict(epochs=epochs, batch_size=20, lr=0.01, softmax="sampled", num_sampled=5)
    assert own_group(model(latent=8, **settings).fit(planted)) > 0.95  # chance is 1 / 6


def test_a_sampled_run_that_was_killed_ends_in_the_same_bits(tmp_path, planted) -> None:
    data, settings = planted, dict(latent=4, epochs=4, softmax="sampled", num_sampled=9)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise RuntimeError("killed")

    whole = recae.MultVAE(**settings).fit(data, seed=1)
    with pytest.raises(RuntimeError, match="killed"):
        recae.MultVAE(**settings).fit(data, seed=1, checkpoint=tmp_path / "state", callbacks=stop)
    resumed = recae.MultVAE(**settings).fit(data, seed=1, checkpoint=tmp_path / "state")
    assert np.array_equal(whole.score(data), resumed.score(data))


def test_auto_samples_beyond_a_number_of_items(monkeypatch: pytest.MonkeyPatch, planted) -> None:
    matrix = planted.matrix
    model = recae.MultVAE(num_sampled=10)
    assert type(model._loader(matrix, None, 0)) is SparseLoader
    monkeypatch.setattr(_base, "FULL_ITEMS", N_ITEMS - 1)
    assert type(model._loader(matrix, None, 0)) is SampledLoader
    assert type(model.set_params(softmax="full")._loader(matrix, None, 0)) is SparseLoader
    # An optimiser that cannot, or another loss, is no mistake of somebody who asked for nothing.
    assert (
        type(recae.MultVAE(num_sampled=10, optimiser="nadam")._loader(matrix, None, 0))
        is SparseLoader
    )
    assert (
        type(recae.VanillaAE(num_sampled=10, loss="logistic")._loader(matrix, None, 0))
        is SparseLoader
    )


def test_a_sample_of_all_items_is_no_sample(planted) -> None:
    model = recae.MultVAE(softmax="sampled", num_sampled=N_ITEMS)
    assert type(model._loader(planted.matrix, None, 0)) is SparseLoader


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (recae.MultVAE(softmax="sampled", optimiser="nadam"), "softmax.*'nadam'"),
        (recae.VanillaAE(softmax="sampled", loss="squared"), "softmax.*'squared'"),
        (recae.MultVAE(softmax="some"), "softmax .*MultVAE 'some'"),
        (recae.MultVAE(precision="half"), "precision .*MultVAE 'half'"),
        (recae.MultVAE(num_sampled=0), "num_sampled .*MultVAE"),
    ],
)
def test_what_does_not_go_together_is_refused(model, named: str, planted) -> None:
    with pytest.raises(recae.ConfigError, match=named):
        model.fit(planted)


def test_only_models_with_a_softmax_have_its_options() -> None:
    having = {m for m in recae.MODELS.values() if "softmax" in m.param_fields()}
    assert having == set(SAMPLED)
    with pytest.raises(TypeError):
        recae.CDAE(softmax="full")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"softmax": "full"}, "softmax over all 60 items, products of the last layer in float32"),
        ({"softmax": "sampled", "num_sampled": 9}, "softmax over a sample of 9 of 60 items"),
        ({"precision": "bfloat16"}, "products of the last layer in bfloat16, on cpu"),
    ],
)
def test_the_log_says_what_was_chosen(settings, said: str, caplog, planted) -> None:
    settings = {"precision": "float32"} | settings
    with caplog.at_level(logging.INFO, logger="recae"):
        recae.MultVAE(latent=2, epochs=1, **settings).fit(planted)
    assert said in caplog.text


def test_bfloat16_learns_and_leaves_weights_and_scores_in_float32(planted, own_group) -> None:
    data = planted
    settings = dict(latent=8, epochs=60, batch_size=20, lr=0.02)
    models = [
        recae.MultDAE(**settings, precision=precision).fit(data)
        for precision in ("float32", "bfloat16")
    ]
    exact, rounded = (model.score(data) for model in models)
    assert own_group(models[1]) > 0.95
    assert not np.array_equal(exact, rounded)
    head = models[1].network_.decoder.head
    assert isinstance(head, LinearHead)
    assert head.weight.dtype == torch.float32
    hidden = torch.from_numpy(models[1].embed_users(data))
    with torch.no_grad():
        by_hand = hidden @ head.weight.T + head.bias
    np.testing.assert_allclose(rounded, by_hand.numpy(), rtol=1e-4, atol=1e-4)
