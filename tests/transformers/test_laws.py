"""What holds for every kind of transformer."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recae

from .conftest import KINDS, small

READERS = ("transform", "reconstruct", "score_samples", "reconstruction_error")


@pytest.fixture(scope="module")
def fitted(X: np.ndarray) -> dict[str, Any]:
    return {kind: small(kind).fit(X, seed=1) for kind in KINDS}


def images() -> np.ndarray:
    return np.random.default_rng(2).uniform(size=(70, 2, 5, 7))


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Equal within 1e-5 of the largest number."""
    return bool(np.allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max()))


@pytest.mark.parametrize("method", READERS)
def test_a_batch_is_its_rows_one_by_one(kind: str, method: str, fitted, X: np.ndarray) -> None:
    read = getattr(fitted[kind], method)
    together = read(X)
    alone = np.concatenate([read(X[i : i + 1]) for i in (0, 1, 63, 64, 69)])
    assert close(alone, together[[0, 1, 63, 64, 69]])
    order = np.random.default_rng(0).permutation(len(X))
    assert close(read(X[order]), together[order])


@pytest.mark.parametrize("kind", ["autoencoder", "variational"])
def test_a_batch_of_images_is_its_images_one_by_one(kind: str) -> None:
    given = images()
    model = small(kind, channels=(3, 4), epochs=1).fit(given)
    together = model.reconstruct(given)
    assert together.shape == given.shape
    alone = np.concatenate([model.reconstruct(given[i : i + 1]) for i in (0, 63, 64, 69)])
    assert close(alone, together[[0, 63, 64, 69]])


def test_codes_decode_one_by_one(kind: str, fitted) -> None:
    codes = np.random.default_rng(3).normal(size=(70, fitted[kind].latent))
    together = fitted[kind].inverse_transform(codes)
    alone = fitted[kind].inverse_transform(codes[65:66])
    assert close(alone, together[65:66])


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_the_size_of_batches_changes_nothing_but_rounding(
    kind: str, rows: int, fitted, X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted[kind]
    at_once = [getattr(model, method)(X) for method in READERS]
    monkeypatch.setattr(
        "recae.transformers.fitted.row_batches",
        lambda n, width: (slice(start, start + rows) for start in range(0, n, rows)),
    )
    for method, wanted in zip(READERS, at_once, strict=True):
        assert close(getattr(model, method)(X), wanted), method


def test_the_seed_decides(kind: str, fitted, X: np.ndarray) -> None:
    same, other = small(kind).fit(X, seed=1), small(kind).fit(X, seed=2)
    assert np.array_equal(same.transform(X), fitted[kind].transform(X))
    differs = not np.array_equal(other.transform(X), fitted[kind].transform(X))
    assert differs is (kind != "linear")  # which is computed: nothing is drawn


def test_what_is_saved_comes_back(kind: str, fitted, X: np.ndarray, tmp_path: Path) -> None:
    model = fitted[kind]
    loaded = recae.load(model.save(tmp_path / "model"), type(model))
    for method in READERS:
        assert np.array_equal(getattr(loaded, method)(X), getattr(model, method)(X)), method
    assert loaded.get_params() == model.get_params()
    assert loaded.n_features_in_ == 9
    if hasattr(model, "sample"):
        assert np.array_equal(loaded.sample(4, seed=2), model.sample(4, seed=2))


def test_images_and_names_are_saved_too(tmp_path: Path, X: np.ndarray) -> None:
    import pandas as pd

    model = small("autoencoder", channels=(2,), epochs=1).fit(images())
    loaded = recae.load(model.save(tmp_path / "images"))
    assert np.array_equal(loaded.reconstruct(images()), model.reconstruct(images()))
    frame = pd.DataFrame(X, columns=list("abcdefghi"))
    loaded = recae.load(small("linear").fit(frame).save(tmp_path / "names"))
    assert loaded.feature_names_in_.tolist() == list("abcdefghi")
    with pytest.raises(recae.DataError, match="same order"):
        loaded.transform(frame[list("bacdefghi")])


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_alone(kind: str, make: Any, fitted, X: np.ndarray) -> None:
    model = fitted[kind]
    made = make(model)
    before = model.score_samples(X)
    assert np.array_equal(made.score_samples(X), before)
    with torch.no_grad():
        for parameter in made.network_.parameters():
            parameter.add_(0.1)
    assert np.array_equal(model.score_samples(X), before)
    with torch.no_grad():  # nor does the copy read with what is the model's
        mine = made.score_samples(X)
        kept = [p.clone() for p in model.network_.parameters()]
        for parameter in model.network_.parameters():
            parameter.zero_()
        assert np.array_equal(made.score_samples(X), mine)
        for parameter, value in zip(model.network_.parameters(), kept, strict=True):
            parameter.copy_(value)


class Killed(Exception):
    """Stands for the end of a process."""


def killer(at: int) -> Any:
    def callback(epoch: Any) -> None:
        if epoch.number == at:
            raise Killed

    return callback


def test_a_killed_training_goes_on_to_the_same_bits(
    kind: str, X: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recae.training.checkpoint.SHARE", float("inf"))  # every epoch is written
    path, settings = tmp_path / "state", {"epochs": 6}
    whole = small(kind, **settings).fit(X, validation=X[:20] + 0.1, seed=3)
    with pytest.raises(Killed):
        small(kind, **settings).fit(
            X, validation=X[:20] + 0.1, seed=3, checkpoint=path, callbacks=killer(4)
        )
    told: list[int] = []
    resumed = small(kind, **settings).fit(
        X,
        validation=X[:20] + 0.1,
        seed=3,
        checkpoint=path,
        callbacks=lambda epoch: told.append(epoch.number),
    )
    assert told == [4, 5, 6]
    state = resumed.network_.state_dict()
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert np.array_equal(resumed.score_samples(X), whole.score_samples(X))
    with pytest.raises(recae.ConfigError, match="another run"):
        small(kind, **settings).fit(X + 1, seed=3, checkpoint=path)


def test_nothing_global_changes(kind: str, X: np.ndarray) -> None:
    def state() -> Any:
        numpy = np.random.get_state()
        return (
            hash(random.getstate()),
            numpy[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled(),
        )

    before, given = state(), X.copy()
    model = small(kind).fit(X)
    model.score_samples(X)
    if hasattr(model, "sample"):
        model.interpolate(X[0], X[1], 3)
        model.sample(3)
    assert state() == before
    assert np.array_equal(X, given)


@pytest.mark.parametrize("change", ["times a million", "over a million", "shifted"])
def test_units_and_origin_do_not_matter(kind: str, change: str, fitted, X: np.ndarray) -> None:
    by, shift = {
        "times a million": (1e6, 0.0),
        "over a million": (1e-6, 0.0),
        "shifted": (1.0, 1e6),
    }[change]
    model = small(kind).fit(X * by + shift, seed=1)
    codes, same = model.transform(X * by + shift), fitted[kind].transform(X)
    assert np.allclose(codes, same, rtol=1e-3, atol=1e-4)
    assert model.explained_variance(X * by + shift) == pytest.approx(
        fitted[kind].explained_variance(X), abs=1e-4
    )
    errors = fitted[kind].reconstruction_error(X) * by**2
    assert np.allclose(model.reconstruction_error(X * by + shift), errors, rtol=1e-3)


def test_two_and_three_dimensions_of_one_image_are_the_same() -> None:
    given = images()
    flat = small("autoencoder").fit(given.reshape(70, -1), seed=4)
    shaped = small("autoencoder").fit(given, seed=4)
    assert np.array_equal(shaped.transform(given), flat.transform(given.reshape(70, -1)))
    assert shaped.inverse_transform(shaped.transform(given)).shape == given.shape


def test_validation_keeps_the_best_epoch(kind: str, X: np.ndarray) -> None:
    model = small(kind, epochs=8, lr=0.05).fit(X[:50], validation=X[50:], seed=5)
    best = min(epoch.metrics["loss"] for epoch in model.epochs_)
    scaled = model.scaling_.apply(recae.transformers.examples.read_examples(X[50:], "test"))
    kept = float(model._losses(model.network_, scaled, 5).mean())
    assert kept == pytest.approx(best, rel=1e-6)


def test_a_failed_fit_leaves_the_model_as_it_was(X: np.ndarray) -> None:
    model = small("autoencoder").fit(X)
    before = model.transform(X)

    def stop(epoch: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        model.fit(X[:, :4], callbacks=stop)
    assert np.array_equal(model.transform(X), before)


def test_ctrl_c_leaves_a_fitted_model(kind: str, X: np.ndarray) -> None:
    def stop(epoch: Any) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    model = small(kind)
    with pytest.raises(recae.errors.TrainingInterrupted, match="after 2 epochs"):
        model.fit(X, callbacks=stop)
    assert len(model.epochs_) == 2
    assert np.isfinite(model.score_samples(X)).all()


def test_a_changed_setting_is_refused_until_it_is_fitted(kind: str, X: np.ndarray) -> None:
    model = small(kind).fit(X)
    model.set_params(lr=0.5)
    for method in READERS:
        with pytest.raises(recae.ConfigError, match="lr .*0.001 .*fitted"):
            getattr(model, method)(X)
    model.set_params(lr=1e-3).transform(X)
