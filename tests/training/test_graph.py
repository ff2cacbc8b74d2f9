"""Replayed training steps, on the pretended GPU: the results of steps without a graph."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Batch, Gaussian, Ragged
from recae.nn.batch import bag
from recae.nn.heads import multinomial_loss
from recae.training import DeviceLoader, Epoch, SparseLoader, graph, loop, objective
from recae.training.objective import split
from tests.gpu import graphs as pretended
from tests.gpu.pretend import PretendGPU

RNG = np.random.default_rng(0)
HISTORIES = sp.csr_matrix((RNG.random((60, 24)) < RNG.random((60, 1)) * 0.5) * 1.0)
HISTORIES = HISTORIES[np.flatnonzero(HISTORIES.getnnz(axis=1))[:55]]
WEIGHTED = HISTORIES.copy()
WEIGHTED.data = RNG.uniform(1, 3, HISTORIES.nnz)
BATCHES = 3  # full ones of 16 rows, and one of 7

MODELS = {
    "mult-vae": dict(latent=6, hidden=(12,), beta=1.0),
    "mult-vae mirrored": dict(latent=6, hidden=(12,), mirror=True, l2=1e-3, milestones=(2,)),
    "mult-dae": dict(latent=6, hidden=(12,), optimiser="nadam"),
    "mult-dae weighted": dict(latent=6, weights="target", optimiser="adagrad"),
    "vanilla-ae": dict(latent=6, optimiser="normalised-adam", weights="both"),
    "rec-vae": dict(latent=6, width=12, depth=3, encoder_epochs=2, epochs=7),
    "rec-vae smoothed": dict(latent=6, width=12, depth=2, slim_every=1, slim_l2=5.0, epochs=9),
}


@pytest.fixture(autouse=True)
def from_the_first_step(monkeypatch) -> None:
    monkeypatch.setattr(graph, "FEWEST", 1)


def made(name: str, **settings) -> recae.Recommender:
    """A model whose products are in float32."""
    common = {"batch_size": 16, "epochs": 5, "lr": 0.01, "precision": "float32"}
    kind = recae.MODELS[name.split()[0]]
    return kind(**common | MODELS[name] | settings)


def fitted(model, **options):
    """A clone of a model, fitted on the pretended GPU, and that GPU."""
    model = model.clone()
    data = WEIGHTED if model.weights != "neither" else HISTORIES
    with PretendGPU() as gpu:
        model.fit(data, device="cuda", progress=False, **options)
    return model, gpu


def without(model, **options):
    """The same without graphs, but with the same padding."""
    with pytest.MonkeyPatch.context() as patch, pytest.warns(recae.RecaeWarning, match="CUDA"):
        patch.setattr(graph.Graphs, "_capture", broken)
        return fitted(model, **options)


def broken(self, parameters):
    raise torch.OutOfMemoryError("CUDA out of memory")


def assert_same(one, other) -> None:
    losses = [[epoch.loss for epoch in model.epochs_] for model in (one, other)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    data = WEIGHTED if one.weights != "neither" else HISTORIES
    np.testing.assert_allclose(one.score(data), other.score(data), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_replayed_steps_give_the_losses_and_weights_of_others(name) -> None:
    replayed, gpu = fitted(made(name))
    eager, other = without(made(name))
    assert_same(replayed, eager)
    epochs, phases = len(replayed.epochs_), 2 if name.startswith("rec-vae") else 1
    assert gpu.count("replay") == epochs * BATCHES - phases  # the first step of a phase is captured
    assert other.count("replay") == 0


@pytest.mark.parametrize("name", ["mult-vae", "mult-dae", "rec-vae"])
def test_without_dropout_the_padding_changes_nothing(name, monkeypatch) -> None:
    replayed, _ = fitted(made(name, dropout=0.0))
    monkeypatch.setattr(graph, "FEWEST", 10**9)
    plain, gpu = fitted(made(name, dropout=0.0))
    assert gpu.count("replay") == 0
    assert_same(replayed, plain)


def test_products_in_bfloat16_are_replayed_as_well() -> None:
    replayed, gpu = fitted(made("mult-vae", precision="bfloat16"))
    eager, _ = without(made("mult-vae", precision="bfloat16"))
    assert gpu.count("replay")
    assert_same(replayed, eager)


def test_the_best_of_the_validated_epochs_is_kept() -> None:
    model = made("mult-vae", epochs=12, patience=2, lr=0.05, metric="ndcg@5")
    fold = recae.Fold(HISTORIES[:20], HISTORIES[20:40])
    replayed, gpu = fitted(model, validation=fold)
    eager, _ = without(model, validation=fold)
    assert_same(replayed, eager)
    assert [epoch.metrics for epoch in replayed.epochs_] == [e.metrics for e in eager.epochs_]
    assert gpu.count("replay") == len(replayed.epochs_) * BATCHES - 1


@pytest.mark.parametrize("name", ["mult-vae", "rec-vae"])
def test_a_resumed_training_ends_as_an_unbroken_one(name, tmp_path) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fitted(made(name), callbacks=stop, checkpoint=tmp_path / "state")
    resumed, gpu = fitted(made(name), checkpoint=tmp_path / "state")
    assert gpu.count("replay")
    assert_same(resumed, fitted(made(name))[0])


@pytest.mark.parametrize("fault", ["a gradient", "the noise", "an operation"])
def test_a_replay_that_differs_is_noticed(fault, monkeypatch) -> None:
    replay, faults = pretended.Graph.replay, []

    def wrong(self) -> None:
        faults.append(fault)
        if fault == "the noise":
            self.generators[-1].manual_seed(1)
        replay(self)
        with pretended.unseen():
            results = self.calls[-1][3] if fault == "a gradient" else []
            for result in results:
                result.mul_(1.1)
        if fault == "an operation":
            raise RuntimeError("CUDA error: an illegal instruction was encountered")

    model = made("mult-dae")
    eager, _ = without(model)
    monkeypatch.setattr(pretended.Graph, "replay", wrong)
    with pytest.warns(recae.RecaeWarning, match="CUDA"):
        found, gpu = fitted(model)
    assert len(faults) == 1
    assert_same(found, eager)


def test_a_step_that_waits_is_not_captured(monkeypatch) -> None:
    forward = Gaussian.forward

    def waits(self, hidden, batch, generator):
        float(hidden.detach().sum())
        return forward(self, hidden, batch, generator)

    model = made("mult-vae")
    eager, _ = without(model)
    monkeypatch.setattr(Gaussian, "forward", waits)
    with PretendGPU() as gpu, pytest.warns(recae.RecaeWarning, match="_local_scalar_dense"):
        model.fit(HISTORIES, device="cuda", progress=False)
        torch.rand(2, device="cuda")  # the capture has not kept the generator of torch
    assert gpu.count("replay") == 0
    assert_same(model, eager)


def test_no_batch_waits_and_few_operations_are_launched(monkeypatch) -> None:
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)  # it waits, once in a training
    for name, epochs, most in (("mult-vae", 3, 12), ("rec-vae", 6, 20)):
        for fewest in (1, 10**9):
            monkeypatch.setattr(graph, "FEWEST", fewest)
            counts = []
            for size in (24, 12):
                model, gpu = made(name, batch_size=size, epochs=epochs), PretendGPU()
                with gpu:
                    model.fit(HISTORIES[:48], device="cuda", progress=False)
                counts.append([gpu.count("launch"), gpu.count("sync", "download", "upload")])
            launches, waits = (np.subtract(*counts[::-1]) / (2 * epochs)).tolist()
            print(f"{name}: {launches:.1f} launches a step, {'no ' * (fewest > 1)}graph")
            assert waits == 0
            assert (launches <= most) == (fewest == 1)


def test_differences_are_relative_to_the_largest_gradients() -> None:
    a, b, zero = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.05]), torch.zeros(2)
    assert graph._difference([a, None], [a, None]) == 0
    assert graph._difference([b], [a]) == pytest.approx(0.05 / 5, rel=0.01)
    assert graph._difference([a, zero + 1e-4], [a, zero]) == pytest.approx(0.028, rel=0.02)
    for wrong in ([None], [a * torch.nan]):
        assert graph._difference(wrong, [a]) == float("inf")


def test_no_gradient_holds_the_memory_of_a_graph() -> None:
    model, _ = fitted(made("rec-vae"))
    assert all(parameter.grad is None for parameter in model.network_.parameters())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mult-vae", dict(softmax="sampled", num_sampled=5)),
        ("mult-vae", dict(alignment=0.1)),
        ("vanilla-ae", dict(loss="logistic")),
        ("cdae", {}),
        ("elsa", {}),
    ],
)
def test_other_steps_are_not_captured(name, settings) -> None:
    kind = recae.MODELS[name]
    _, gpu = fitted(kind(batch_size=16, epochs=3, **settings))
    assert gpu.count("replay") == 0


def test_short_trainings_and_little_memory_have_no_graph(monkeypatch) -> None:
    model = made("mult-vae")
    monkeypatch.setattr(graph, "FEWEST", 5 * BATCHES + 1)
    assert fitted(model)[1].count("replay") == 0
    monkeypatch.setattr(graph, "FEWEST", 5 * BATCHES)
    assert fitted(model)[1].count("replay") > 0
    monkeypatch.setattr(graph, "ROOM", 10**9)
    assert fitted(model)[1].count("replay") == 0


def test_a_batch_of_many_entries_is_trained_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(graph, "DEVIATIONS", 0)
    model = made("mult-vae", dropout=0.0)
    some, gpu = fitted(model)
    assert 0 < gpu.count("replay") < len(some.epochs_) * BATCHES - 1
    monkeypatch.setattr(graph, "FEWEST", 10**9)
    assert_same(some, fitted(model)[0])


def test_a_batch_is_padded_with_zeros_that_no_row_has() -> None:
    loader = SparseLoader(WEIGHTED.astype(np.float32), None, 16, seed=1)
    padding = graph.Padding(DeviceLoader(loader, torch.device("cpu")))
    table = torch.randn(24, 5)
    for batch in loader.epoch(1):
        assert padding.fill(batch) == (len(batch) == 16)
        if len(batch) < 16:
            continue
        plain, padded = batch.input, padding.batch().input
        n = len(plain.indices)
        assert len(padded) == 16 and len(padded.indices) == padding.entries >= n
        assert not padded.values[n:].any() and int(padded.offsets[-1]) == padding.entries
        assert torch.equal(padded.rows[:n], plain.rows) and torch.equal(
            padded.lengths, plain.lengths
        )
        assert int(padded.rows.max()) < 16
        torch.testing.assert_close(bag(table, padded), bag(table, plain))
        sums = plain.row_sums(plain.values)
        torch.testing.assert_close(padded.row_sums(padded.values), sums)
        torch.testing.assert_close(Batch(padded, padded).target_sums(), sums)


def test_the_loss_of_a_padded_batch_and_its_gradients_are_those_of_the_batch() -> None:
    loader = SparseLoader(WEIGHTED.astype(np.float32), None, 16, seed=1)
    first, found = next(loader.epoch(1)), []
    with PretendGPU():
        padding = graph.Padding(DeviceLoader(loader, torch.device("cuda")))
        assert padding.fill(first.to("cuda")) and padding.entries > len(first.input.indices)
        for batch in (first.to("cuda"), padding.batch()):
            generator = torch.Generator().manual_seed(0)
            sizes = ((16, 3), (24, 3), (24,))
            leaves = [torch.randn(size, generator=generator).to("cuda") for size in sizes]
            leaves = [leaf.requires_grad_() for leaf in leaves]
            loss = multinomial_loss(*leaves, batch.target)
            loss.backward()
            found.append([each.cpu() for each in (loss.detach(), *(leaf.grad for leaf in leaves))])
    for padded, plain in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-6, atol=1e-7)


def test_a_padded_batch_is_cut_without_its_padding() -> None:
    loader = SparseLoader(HISTORIES.astype(np.float32), None, 16, seed=1)
    padding, first = graph.Padding(DeviceLoader(loader, torch.device("cpu"))), next(loader.epoch(1))
    assert padding.fill(first)
    for padded, plain in zip(split(padding.batch(), 3), split(first, 3), strict=True):
        assert len(padded) == len(plain)
        assert torch.equal(padded.input.indices, plain.input.indices)
        assert torch.equal(padded.input.rows, plain.input.rows)


def test_a_step_without_the_memory_for_a_batch_is_cut_and_not_captured(monkeypatch) -> None:
    model = made("mult-dae", dropout=0.0, optimiser="adam", epochs=2)
    monkeypatch.setattr(graph, "ROOM", 0)
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)
    summed, seen = objective._summed, []

    def short(parts, loss, parameters):
        seen.append(len(parts[0]))
        if len(parts[0]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return summed(parts, loss, parameters)

    whole, _ = fitted(model)
    monkeypatch.setattr(objective, "_summed", short)
    with pytest.warns(recae.RecaeWarning, match="accumulated"):
        cut, gpu = fitted(model)
    assert gpu.count("replay") == 0 and max(seen[1:]) == 8
    assert_same(cut, whole)


def test_padding_is_spread_over_its_rows() -> None:
    loader = SparseLoader(HISTORIES.astype(np.float32), None, 16, seed=1)
    padding = graph.Padding(DeviceLoader(loader, torch.device("cpu")))
    row = Ragged(torch.zeros(1, dtype=torch.int64), torch.tensor([0] * 16 + [1]), torch.ones(1), 24)
    assert padding.fill(Batch(row, row))
    sizes = padding.batch().input.offsets.diff()[16:]
    assert len(sizes) == graph.SPARE and int(sizes.sum()) == padding.entries - 1
    assert int(sizes.max() - sizes.min()) <= 1
