"""First and last layers from an SVD: what stands in them, and what it saves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import logsumexp

import recae
from recae.models.neural._svd_init import GAINS, likeliest_gain, svd_init
from recae.rng import torch_generator
from recae.training import Epoch

KINDS = [recae.MultVAE, recae.MultDAE]
HIDDEN = {recae.MultVAE: {"hidden": (12,)}, recae.MultDAE: {}}


def noisy(n_users: int = 90, n_items: int = 25) -> sp.csr_matrix:
    """Histories of uneven lengths and items of uneven popularity; the last item has no user."""
    rng = np.random.default_rng(4)
    chance = np.linspace(0.5, 0.05, n_items)
    dense = (rng.random((n_users, n_items)) < chance).astype(np.float32)
    dense[:, -1] = 0
    dense[0] = 0  # an empty history
    return sp.csr_matrix(dense)


def started(kind: type, histories: sp.csr_matrix, seed: int = 3, **settings: object) -> tuple:
    """The network as drawn, and the same after the start."""
    nets = [kind(**settings)._network(histories.shape[1], histories.shape[0]) for _ in range(2)]
    for net in nets:
        net.initialise(torch_generator(seed, 2))
    svd_init(nets[1], histories, seed, False)
    return tuple({n: v.detach().numpy() for n, v in net.state_dict().items()} for net in nets)


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_the_formula(kind) -> None:
    histories, latent = noisy(), 7
    drawn, net = started(kind, histories, latent=latent, **HIDDEN[kind])
    x = histories.toarray().astype(np.float64)
    counts = x.sum(axis=0).clip(1)
    d = (counts / counts.mean()) ** -0.5
    r = x / np.sqrt(x.sum(axis=1).clip(1))[:, None] * d
    s, vt = np.linalg.svd(r, full_matrices=False)[1:]
    first, last = net["encoder.0.weight"], net["decoder.head.weight"]
    # With 25 items the 7 + 20 directions are all there are. The sign of one is free.
    v = vt[:latent].T
    a = 0.5 / (s[:latent] / np.sqrt(len(x)))
    sign = np.sign((first[:, :latent] * v).sum(axis=0))
    np.testing.assert_allclose(first[:, :latent], sign * v * d[:, None] * a, atol=1e-3 * a.max())
    hidden = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9) @ first[:, :latent]
    np.testing.assert_allclose(np.sqrt((hidden**2).mean(axis=0)), 0.5, rtol=1e-3)
    m = 1
    if kind is recae.MultVAE:
        m = 2
        np.testing.assert_array_equal(net["code.mu.weight"], 2 * np.eye(latent, 12))
        np.testing.assert_array_equal(
            net["code.log_variance.weight"], drawn["code.log_variance.weight"]
        )
        np.testing.assert_array_equal(first[:, latent:], drawn["encoder.0.weight"][:, latent:])
    # The untrained scores, without tanh, are those of the linear autoencoder times the gain: the
    # ridge regression of the histories on themselves, of its leading directions.
    linear = m * hidden @ last.T
    r = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9) * d
    gram = r.T @ r
    ridge = np.linalg.solve(gram + 10 * np.diag(gram).mean() * np.eye(len(gram)), gram)
    known = r @ v @ v.T @ ridge / d
    gain = (linear * known).sum() / (known**2).sum()
    assert min(abs(gain - np.array(GAINS))) < 1e-3 * gain
    np.testing.assert_allclose(linear, gain * known, atol=1e-3 * np.abs(gain * known).max())
    assert not net["encoder.0.bias"].any() and not net["decoder.head.bias"].any()


def test_the_gain_is_the_likeliest_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    codes, weight, bias = (rng.standard_normal(n) for n in ((30, 4), (25, 4), (25,)))
    histories = noisy(30)
    x = histories.toarray()
    codes = x @ weight / 9 + rng.standard_normal((30, 4)) / 4  # they tell something

    def loss(gain: float) -> float:
        scores = gain * codes @ weight.T + bias
        return -float((x * (scores - logsumexp(scores, axis=1, keepdims=True))).sum())

    tensors = [torch.from_numpy(part.astype(np.float32)) for part in (codes, weight, bias)]
    assert likeliest_gain(*tensors, histories) == min(GAINS, key=loss)
    monkeypatch.setattr("recae.models.neural._svd_init.CELLS", 3 * 25)  # three users at a time
    assert likeliest_gain(*tensors, histories) == min(GAINS, key=loss)


@pytest.mark.parametrize("softmax", ["full", "sampled"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_svd_knows_planted_tastes_after_one_epoch(kind, softmax, planted, own_group) -> None:
    data = planted
    shares = {}
    for init in ("glorot", "svd"):
        settings = dict(latent=8, epochs=1, batch_size=40, softmax=softmax, num_sampled=12)
        model = kind(**settings, **HIDDEN[kind], init=init).fit(data)
        shares[init] = own_group(model)
    assert shares["svd"] > 0.95 and shares["glorot"] < 0.6  # chance is 1 / 6


def test_the_seed_decides(planted) -> None:
    data, settings = planted, dict(latent=4, hidden=(6,), epochs=1, init="svd")
    one, same, other = (
        recae.MultVAE(**settings).fit(data, seed=seed).score(data) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_killed_ends_in_the_same_bits(kind, tmp_path, planted) -> None:
    data, settings = planted, dict(latent=4, epochs=4, init="svd")

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise RuntimeError("killed")

    whole = kind(**settings).fit(data, seed=1)
    with pytest.raises(RuntimeError, match="killed"):
        kind(**settings).fit(data, seed=1, checkpoint=tmp_path / "state", callbacks=stop)
    resumed = kind(**settings).fit(data, seed=1, checkpoint=tmp_path / "state")
    assert np.array_equal(whole.score(data), resumed.score(data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dense", [[[1.0]], [[1, 1], [0, 1], [1, 0]], [[1, 1, 1, 0]] * 5])
def test_what_is_wider_than_the_data_stays_as_drawn(kind, dense) -> None:
    histories = sp.csr_matrix(np.array(dense, dtype=np.float32))
    drawn, net = started(kind, histories, latent=9, **HIDDEN[kind])
    rank = np.linalg.matrix_rank(histories.toarray())
    for name in ("encoder.0.weight", "decoder.head.weight"):
        assert np.isfinite(net[name]).all()
        np.testing.assert_array_equal(net[name][:, rank:], drawn[name][:, rank:])
        assert (net[name][:, :rank] != drawn[name][:, :rank]).any()
    model = kind(latent=9, epochs=1, init="svd", **HIDDEN[kind]).fit(histories)
    assert np.isfinite(model.score(histories)).all()


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (recae.MultVAE(init="svd", mirror=True), "init.*mirror=True"),
        (recae.MultVAE(init="svd", hidden=(9, 5)), r"init.*hidden=\(9, 5\)"),
        (recae.MultDAE(init="svd", hidden=(9,)), r"init.*hidden=\(9,\)"),
        (recae.MultDAE(init="random"), "init .*MultDAE 'random'"),
    ],
)
def test_deeper_networks_are_refused(model, named: str, planted) -> None:
    with pytest.raises(recae.ConfigError, match=named):
        model.fit(planted)


def test_another_word_for_it_is_answered_with_its_name() -> None:
    with pytest.raises(recae.ConfigError, match="'start'.*'init'"):
        recae.MultDAE(start="svd")
