"""recae under the rules of CUDA: no mixed devices, no waits in a batch, the results of the CPU."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.models.neural._base import NeuralRecommender
from recae.system.machine import gpu_room, out_of_memory
from recae.training import Epoch, loop, resolve_device
from recae.training.optimisers import Adam
from tests.gpu.pretend import PretendGPU

RNG = np.random.default_rng(0)
HISTORIES = sp.csr_matrix((RNG.random((60, 24)) < 0.25) * 1.0)
ROWS = (RNG.normal(size=(60, 3)) @ RNG.normal(size=(3, 6))).astype(np.float32)
KINDS = ("sync", "download", "upload")
NEURAL = [name for name, kind in recae.MODELS.items() if issubclass(kind, NeuralRecommender)]
TRANSFORMERS = (
    recae.Autoencoder(),
    recae.DenoisingAutoencoder(noise="gaussian"),
    recae.SparseAutoencoder(active=2),
    recae.VariationalAutoencoder(prior="vamp", components=4),
)


def small(name: str, **settings) -> recae.Recommender:
    """A model of small settings, for one epoch; others where the model has them."""
    model = recae.MODELS[name](**recae.MODELS[name].small)
    return model.set_params(**{n: v for n, v in settings.items() if n in model.get_params()})


def events(fit, *sizes: int) -> list[list[int]]:
    """Events by kind of a fit with each batch size."""
    counts = []
    for size in sizes:
        with PretendGPU() as gpu:
            fit(size)
        counts.append([gpu.count(kind) for kind in KINDS])
    return counts


def events_of_a_batch(fit) -> dict[str, float]:
    """Events by kind of one batch more; fit: takes a batch size."""
    counts = events(fit, 24, 12)  # 2 and 4 batches of the 48 rows
    return {k: (more - few) / 2 for k, few, more in zip(KINDS, *counts, strict=True)}


@pytest.mark.parametrize("name", [n for n, kind in recae.MODELS.items() if kind.uses_device])
def test_a_fit_there_gives_the_scores_of_a_fit_here(name, tmp_path) -> None:
    train = recae.Interactions.from_csr(HISTORIES)  # with a read-only matrix
    model = small(name, epochs=2, batch_size=20, precision="float32")
    if name == "flow-cf":  # draws as many numbers here and there only so: for one step of its path
        model.set_params(steps=1, taken=1, dropout=0.0, batch_size=60)
    here = model.clone().fit(train, device="cpu", progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with PretendGPU():
            model.fit(train, device="cuda", progress=False)
            scores = model.score(train)
            lists = model.recommend_array(train, k=5).items
            model.save(tmp_path / "model")
    np.testing.assert_allclose(scores, here.score(train), rtol=1e-3, atol=1e-4)
    assert lists.shape == (60, 5)
    found = recae.load(tmp_path / "model").score(train)
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    ["mult-vae", "h-vamp", "macrid-vae", "l-diff-rec", "giff-cf", "elsa", "cosine-ae"]
    + ["vasp", "compressed-elsa"],
)
def test_a_loaded_model_is_moved_there_and_back(name, tmp_path) -> None:
    train = recae.Interactions.from_csr(HISTORIES)
    model = small(name, epochs=1, precision="float32").fit(train, device="cpu", progress=False)
    model = recae.load(model.save(tmp_path / "model"))
    here = model.score(train)
    with PretendGPU() as gpu:
        if name == "compressed-elsa":
            with pytest.warns(recae.RecaeWarning, match="CPU"):
                assert model.to("cuda") is model
        else:
            before = gpu.count("launch")
            assert model.to("auto") is model
            assert next(model.network_.parameters()).is_cuda
            assert gpu.count("launch") == before
        there = model.score(train)
        assert model.recommend_array(train, k=3).items.shape == (60, 3)
        assert name == "compressed-elsa" or gpu.count("launch") > before
        model.to("cpu")
        gc.collect()
        assert gpu.sweep() == 0
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.score(train), here, rtol=1e-6, atol=1e-6)


def test_an_ensemble_moves_the_members_that_it_can() -> None:
    train = recae.Interactions.from_csr(HISTORIES)
    parts = [small("mult-vae", epochs=1), recae.EASE()]
    blend = recae.Ensemble.of([part.fit(train, device="cpu", progress=False) for part in parts])
    here = blend.score(train)
    with PretendGPU():
        there = blend.to("cuda").score(train)
        assert next(blend.members_[0].network_.parameters()).is_cuda
        with pytest.warns(recae.RecaeWarning, match="CPU"):
            recae.EASE().fit(train, device="cpu").to("cuda")
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)


def test_a_gpu_that_was_not_named_is_nothing_to_warn_of() -> None:
    with PretendGPU():
        with warnings.catch_warnings():
            warnings.simplefilter("error", recae.RecaeWarning)
            recae.EASE().fit(HISTORIES).to("auto")


def test_the_room_on_a_gpu_counts_what_is_held_for_later(monkeypatch) -> None:
    with PretendGPU(memory=1_000_000):
        kept = torch.zeros(75_000, device="cuda")
        assert gpu_room("cuda") == 1_000_000 - kept.nbytes
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda *_: kept.nbytes + 1000)
        assert gpu_room("cuda") == 1_000_000 - kept.nbytes + 1000


@pytest.mark.parametrize("library", ["CUBLAS", "CUSOLVER"])
def test_a_library_without_memory_is_out_of_memory(library) -> None:
    error = RuntimeError(f"CUDA error: {library}_STATUS_ALLOC_FAILED when calling `Create(handle)`")
    assert out_of_memory(error)
    assert not out_of_memory(RuntimeError(f"CUDA error: {library}_STATUS_NOT_INITIALIZED"))


def test_a_forked_process_has_no_gpu(monkeypatch) -> None:
    with PretendGPU():
        monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(recae.errors.ConfigError, match="spawn"):
            resolve_device("cuda")


@pytest.mark.parametrize("model", TRANSFORMERS, ids=lambda model: type(model).__name__)
def test_transformers_run_there(model, tmp_path) -> None:
    model.set_params(latent=3, epochs=2, hidden=(8,))
    with PretendGPU():
        model.fit(ROWS, validation=ROWS[:20], device="cuda", progress=False)
        codes, scores = model.transform(ROWS), model.score_samples(ROWS)
        model.save(tmp_path / "model")
    here = model.clone().fit(ROWS, validation=ROWS[:20], device="cpu", progress=False)
    assert codes.shape == (60, 3) and np.isfinite(scores).all()
    if not isinstance(model, recae.DenoisingAutoencoder):  # the noise is drawn on the device
        np.testing.assert_allclose(codes, here.transform(ROWS), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scores, here.score_samples(ROWS), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        recae.load(tmp_path / "model").score_samples(ROWS), scores, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", NEURAL)
def test_no_batch_of_histories_waits(name, monkeypatch) -> None:
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)  # it waits, once in a training

    def fit(size: int) -> None:
        model = small(name, epochs=1, batch_size=size, alignment=0.1)
        model.fit(HISTORIES[:48], device="cuda", progress=False)

    assert events_of_a_batch(fit) == dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize(
    "name, softmax", [("mult-vae", "full"), ("mult-vae", "sampled"), ("macrid-vae", "full")]
)
def test_no_piece_of_a_large_batch_waits(name, softmax, monkeypatch) -> None:
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)
    counts = []
    for cells in (1 << 20, 100):  # 100: pieces of four rows and of sixteen
        for place in (
            "products.GPU_CELLS",
            "heads.CHUNK_CELLS",
            "macrid.CHUNK_CELLS",
            "sampled.LOGIT_CELLS",
        ):
            monkeypatch.setattr(f"recae.nn.{place}", cells)
        with PretendGPU() as gpu:
            model = small(name, epochs=1, batch_size=48, softmax=softmax, num_sampled=5)
            model.fit(HISTORIES[:48], device="cuda", progress=False)
        counts.append((gpu.count("sync", "download", "upload"), gpu.count("launch")))
    (waits, launches), (waits_of_pieces, launches_of_pieces) = counts
    assert waits_of_pieces == waits
    assert launches_of_pieces > launches


@pytest.mark.parametrize("alignment", [0.0, 0.1])
@pytest.mark.parametrize("name", ["mult-vae", "rec-vae", "cosine-ae"])
def test_no_batch_of_a_sampled_softmax_waits(name, alignment, monkeypatch) -> None:
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)
    settings = {"softmax": "sampled", "num_sampled": 5, "alignment": alignment}

    def fit(size: int) -> None:
        model = small(name, epochs=1, batch_size=size, **settings)
        model.fit(HISTORIES[:48], device="cuda", progress=False)

    assert events_of_a_batch(fit) == dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize("name", NEURAL)
def test_an_epoch_waits_twice(name, monkeypatch) -> None:
    """`python -m pytest tests/gpu/test_rules.py -k waits_twice -s` prints what an epoch takes."""
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)
    kinds, counts = ("sync", "download", "upload", "upload-pinned", "launch"), []
    for epochs in (1, 5):  # RecVAE trains its parts in turns of three epochs and one
        with PretendGPU() as gpu:
            model = small(name, epochs=epochs, batch_size=24)
            model.fit(HISTORIES[:48], device="cuda", progress=False)
        counts.append(np.array([gpu.count(kind) for kind in kinds]))
    an_epoch = dict(zip(kinds, (counts[1] - counts[0]) / 4, strict=True))
    print(name, *(f"{kind} {number:g}" for kind, number in an_epoch.items()))
    assert an_epoch["sync"] + an_epoch["download"] <= 2
    assert an_epoch["upload"] < 1  # CompressedELSA sends something when it prunes


def test_no_batch_of_examples_waits(monkeypatch) -> None:
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)

    def fit(size: int) -> None:
        model = recae.Autoencoder(latent=2, epochs=1, batch_size=size)
        model.fit(ROWS[:48], device="cuda", progress=False)

    assert events_of_a_batch(fit) == dict.fromkeys(KINDS, 0)


def test_no_step_of_a_resumed_nadam_waits(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(loop, "starting_loss", lambda *_: 1e9)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise RuntimeError("killed")

    def fit(size: int) -> None:
        model = recae.MultDAE(epochs=3, batch_size=size, latent=4, optimiser="nadam")
        run = {"device": "cuda", "checkpoint": tmp_path / f"state-{size}", "progress": False}
        with pytest.raises(RuntimeError, match="killed"):
            model.fit(HISTORIES[:48], **run, callbacks=stop)
        model.fit(HISTORIES[:48], **run)

    assert events_of_a_batch(fit) == dict.fromkeys(KINDS, 0)


def updated(device: str, *steps: list[int]) -> torch.Tensor:
    """A table of ones after a step of Adam for each list of rows."""
    table = torch.nn.Parameter(torch.ones(9, 2, device=device))
    optimiser = Adam([([table], 0.0)], lr=0.1)
    for number, rows in enumerate(steps):
        values = torch.arange(2.0 * len(rows), device=device).reshape(-1, 2) + number
        index = torch.tensor([rows], device=device)
        table.grad = torch.sparse_coo_tensor(index, values, (9, 2), check_invariants=False)
        optimiser.step()
    return table.detach().cpu()


@pytest.mark.parametrize(
    "steps", [([2, 3, 7], [0, 3]), ([7, 2, 7], [2, 3]), ([4], [2, 3, 7])], ids=str
)
def test_rows_of_a_sparse_gradient_are_updated_there_as_here(steps) -> None:
    with PretendGPU():
        there = updated("cuda", *steps)
    assert not torch.equal(there, torch.ones(9, 2))
    torch.testing.assert_close(there, updated("cpu", *steps))


@pytest.mark.parametrize("first", [[2, 3, 7], [4]], ids=str)
def test_rows_that_repeat_where_none_did_are_never_updated_wrongly(first) -> None:
    with PretendGPU():
        there = updated("cuda", first, [2, 3], [7, 2, 7])
    assert there[[2, 7]].isnan().all() and there[[0, 3]].isfinite().all()


@pytest.mark.parametrize("name", ["mult-dae", "mult-vae", "rec-vae", "vanilla-ae", "cosine-ae"])
@pytest.mark.parametrize("alignment", [0.0, 0.1])
def test_rows_of_every_sparse_gradient_come_in_order(name, alignment, monkeypatch) -> None:
    seen = []

    def step(optimiser, parameter, grad):
        rows = grad._indices()[0]
        seen.append(bool((rows[1:] > rows[:-1]).all()))
        return before(optimiser, parameter, grad)

    before = Adam._coalesced
    monkeypatch.setattr(Adam, "_coalesced", step)
    settings = {"softmax": "sampled", "num_sampled": 5, "alignment": alignment, "optimiser": "adam"}
    small(name, epochs=2, batch_size=13, **settings).fit(HISTORIES, device="cpu", progress=False)
    assert seen and all(seen)


def test_a_batch_that_does_not_fit_is_cut() -> None:
    settings = {"epochs": 1, "batch_size": 60, "latent": 4, "precision": "float32"}
    with PretendGPU() as gpu:
        whole = recae.MultDAE(**settings).fit(HISTORIES, device="cuda", progress=False)
    peak = gpu.peak
    with PretendGPU(memory=int(0.9 * peak)) as gpu, pytest.warns(match="memory"):
        model = recae.MultDAE(**settings).fit(HISTORIES, device="cuda", progress=False)
    assert gpu.peak < peak and model.epochs_[0].loss == pytest.approx(
        whole.epochs_[0].loss, rel=0.1
    )


def test_an_inversion_without_room_is_done_on_the_cpu() -> None:
    need = 2 * 24**2 * 4 / 0.85
    model = recae.EASE(precision="float32")
    with PretendGPU(memory=int(need) + 100) as gpu:
        model.fit(HISTORIES, device="cuda", progress=False)
        assert gpu.operations
    with PretendGPU(memory=int(need) - 100) as gpu, pytest.warns(recae.RecaeWarning):
        model.fit(HISTORIES, device="cuda", progress=False)
    assert not gpu.operations and torch.zeros(1).is_cpu
