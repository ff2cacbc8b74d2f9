"""Synthetic users: laws of the draws, and what each way of drawing gets right."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import recae
from recae.apply.generate import generator
from recae.apply.generate.measures import item_shares

from .conftest import ITEMS, SIZE, TASTES

SMALL = {"epochs": 2, "latent": 3}
SAMPLED = [
    recae.MultVAE(hidden=(8,), **SMALL),
    recae.RecVAE(width=8, **SMALL),
    recae.MacridVAE(width=8, concepts=2, **SMALL),
    recae.HVamp(width=8, components=4, **SMALL),
    recae.HVamp(width=8, components=4, likelihood="multinomial", **SMALL),
]


def purity(matrix: Any) -> float:
    """The share of a user's items that are of the commonest taste among them, on average."""
    tastes = np.stack(
        [np.asarray(matrix[:, t * SIZE : (t + 1) * SIZE].sum(1)).ravel() for t in range(TASTES)]
    )
    return float((tastes.max(0) / tastes.sum(0)).mean())


@pytest.fixture(scope="module")
def users(vae: recae.MultVAE) -> recae.apply.generate.UserGenerator:
    return recae.apply.generate.UserGenerator.fit(vae)


def test_the_first_users_are_the_same_however_many_are_drawn(
    users: recae.apply.generate.UserGenerator,
) -> None:
    many, few = users.sample(700, seed=4), users.sample(300, seed=4)
    assert (many.matrix[:300] != few.matrix).nnz == 0
    assert many.users.ids[:300].tolist() == few.users.ids.tolist()
    assert (users.sample(300, seed=5).matrix != few.matrix).nnz > 0


@pytest.mark.parametrize("batch_size", [1, 64, 100, 1000])
def test_batches_are_the_sample(users: recae.apply.generate.UserGenerator, batch_size: int) -> None:
    n = 20 if batch_size == 1 else 600
    whole, start = users.sample(n, seed=2), 0
    for batch in users.batches(n, seed=2, batch_size=batch_size):
        stop = start + batch.n_users
        assert batch.n_users == min(batch_size, n - start)
        assert (batch.matrix != whole.matrix[start:stop]).nnz == 0
        assert batch.users.ids.tolist() == whole.users.ids[start:stop].tolist()
        start = stop
    assert start == n


def test_the_file_is_the_sample(users: recae.apply.generate.UserGenerator, tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    rows = users.write(path, 300, seed=2)
    whole = users.sample(300, seed=2)
    assert rows == whole.nnz == pq.read_metadata(path).num_rows
    read = recae.read_parquet(path).with_items(whole.items)[0]
    assert read.fingerprint() == whole.fingerprint()
    with pytest.raises(recae.errors.StorageError, match="nowhere .*exist"):
        users.write(tmp_path / "nowhere" / "users.parquet", 3)


def test_users_look_like_users(
    users: recae.apply.generate.UserGenerator, people: recae.Interactions
) -> None:
    made = users.sample(2000)
    lengths, real = np.diff(made.matrix.indptr), np.diff(people.matrix.indptr)
    assert made.items == people.items
    assert set(made.matrix.data.tolist()) == {1.0}
    assert real.min() <= lengths.min() and lengths.max() <= real.max()
    assert abs(lengths.mean() - real.mean()) < 0.2
    # So many of real users drawn again would be 3 % off.
    again = people.matrix[np.random.default_rng(0).integers(people.n_users, size=2000)]
    shares = item_shares(people.matrix)
    off = [0.5 * np.abs(item_shares(m) - shares).sum() for m in (made.matrix, again)]
    assert off[0] < 2 * off[1]
    assert purity(people.matrix) > 0.8
    assert purity(made.matrix) > purity(people.matrix) - 0.1


def test_calibration_brings_the_marginals(vae: Any, people: recae.Interactions) -> None:
    shares, off = item_shares(people.matrix), {}
    for calibrate in (False, True):
        some = recae.apply.generate.UserGenerator.fit(vae, calibrate=calibrate, temperature=1.5)
        off[calibrate] = 0.5 * np.abs(item_shares(some.sample(2000).matrix) - shares).sum()
    assert off[True] < 0.4 * off[False]


def test_a_lower_temperature_makes_sharper_tastes(vae: recae.MultVAE) -> None:
    found = [
        purity(recae.apply.generate.synthesise(vae, 1000, temperature=t, calibrate=False).matrix)
        for t in (0.5, 1.0, 3.0)
    ]
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("codes", ["mixture", "posterior", "prior"])
def test_every_source_draws(vae: recae.MultVAE, codes: str) -> None:
    made = recae.apply.generate.synthesise(vae, 300, codes=codes)
    assert made.n_users == 300 and made.nnz > 300


@pytest.mark.parametrize("model", SAMPLED, ids=repr)
@pytest.mark.parametrize("codes", ["mixture", "posterior"])
def test_models_with_drawn_codes(model: Any, codes: str, people: recae.Interactions) -> None:
    fitted = model.clone().fit(people)
    made = recae.apply.generate.synthesise(fitted, 50, codes=codes)
    assert made.n_users == 50 and made.items == people.items


@pytest.mark.parametrize("model", SAMPLED[:4], ids=lambda model: model.name)
def test_codes_are_drawn_as_in_training(model: Any, people: recae.Interactions) -> None:
    """Means and deviations against draws of the network's own code in training mode."""
    from recae.apply.generate.codes import posterior
    from recae.nn import Batch, Ragged

    fitted = model.clone().fit(people)
    mean, deviation = posterior(fitted, people.matrix[:2])
    np.testing.assert_allclose(mean, fitted.embed_users(people)[:2], rtol=1e-4, atol=1e-6)
    if model.name == "h-vamp":
        return  # its lower level also moves with the upper one
    net, batch = fitted.network_, Ragged.from_csr(people.matrix[[0, 1] * 4000])
    hidden = net.encoder(net.corrupt(Batch(batch, batch), None).input)
    net.code.train()
    try:
        z, _ = net.code(hidden, Batch(batch, batch), torch.Generator().manual_seed(0))
    finally:
        net.eval()
    drawn = z.detach().reshape(4000, 2, -1)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.08)
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.08)


def test_a_loaded_model_draws_the_same(vae: Any, people: Any, tmp_path: Path) -> None:
    loaded = recae.load(vae.save(tmp_path / "model"))
    ours, theirs = (
        recae.apply.generate.synthesise(vae, 40),
        recae.apply.generate.synthesise(loaded, 40, data=people),
    )
    assert ours.fingerprint() == theirs.fingerprint()
    with pytest.raises(recae.DataError, match="data=.*with_history"):
        recae.apply.generate.synthesise(loaded, 40)


def test_nothing_global_moves(vae: recae.MultVAE) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index, union-attr]
    mode = vae.network_.training
    recae.apply.generate.synthesise(vae, 20)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index, union-attr]
    assert before == after and vae.network_.training == mode


def test_a_large_catalogue_means_small_blocks(monkeypatch: Any, users: Any) -> None:
    monkeypatch.setattr(generator, "CELLS", 70 * ITEMS)
    assert users.block == 64
    monkeypatch.setattr(generator, "CELLS", 1)
    assert users.block == 64
    monkeypatch.setattr(generator, "CELLS", 10**9)
    assert users.block == 256


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_users": 0}, "n_users"),
        ({"n_users": 2.5}, "n_users"),
        ({"n_users": True}, "n_users"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 1e-45}, "temperature"),  # scores of inf
        ({"codes": "priors"}, "mean 'prior'"),
        ({"components": 0}, "from 1 to 400"),
        ({"components": 401}, "from 1 to 400"),
        ({"components": 2, "codes": "prior"}, "'prior'"),
        ({"calibrate": "no"}, "calibrate"),
        ({"seed": None}, "seed"),
    ],
)
def test_bad_options(vae: Any, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(recae.ConfigError, match=re.escape(complaint)):
        recae.apply.generate.synthesise(vae, **({"n_users": 5} | options))


@pytest.mark.parametrize(
    "model", [recae.EASE(), recae.MultDAE(latent=2, epochs=1), recae.Popularity()], ids=repr
)
def test_models_without_codes(model: Any, people: recae.Interactions) -> None:
    fitted = model.clone().fit(people)
    with pytest.raises(recae.ConfigError, match="MultVAE, RecVAE"):
        recae.apply.generate.synthesise(fitted, 5)


def test_other_mistakes(vae: Any, people: recae.Interactions) -> None:
    with pytest.raises(recae.errors.NotFittedError):
        recae.apply.generate.synthesise(recae.MultVAE(), 5)
    with pytest.raises(recae.ConfigError, match="str .*MultVAE"):
        recae.apply.generate.synthesise("vae", 5)
    macrid = SAMPLED[2].clone().fit(people)
    with pytest.raises(recae.ConfigError, match="codes='mixture'"):
        recae.apply.generate.synthesise(macrid, 5, codes="prior")
    with (
        pytest.warns(recae.RecaeWarning, match="left out"),
        pytest.raises(recae.DataError, match="no user"),
    ):
        stranger = recae.Interactions.from_csr(people.matrix[:, :1], items=[10**6])
        recae.apply.generate.synthesise(vae, 5, data=stranger)
