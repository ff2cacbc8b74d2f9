"""Closed forms on a GPU: X'X, the inverse and the way back, on the pretended one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.data import scaled, svd
from recae.models.linear import _base, _gpu, _solve, admm_slim, infinite_ae
from recae.nn import Ranks
from recae.system.progress import bar
from tests.gpu.pretend import PretendGPU

RNG = np.random.default_rng(4)
CUDA = torch.device("cuda")


def interactions(users: int, items: int, share: float = 0.25) -> sp.csr_matrix:
    """Counts of 1 to 4 at a share of the cells; the first user and the last item have none."""
    cells = (RNG.random((users, items)) < share) * RNG.integers(1, 5, (users, items)) * 1.0
    cells[0], cells[:, -1] = 0, 0
    return sp.csr_matrix(cells)


TALL, WIDE = interactions(120, 40), interactions(25, 60)
SCALED = {"relative_l2": 0.7, "user_power": 0.2, "item_power": 0.3, "output_power": 0.1}
CASES: list[tuple[Any, dict[str, Any]]] = [
    (recae.EASE, {"l2": 3.0}),
    (recae.EASE, {"relative_l2": 0.5, "precision": "float64"}),
    (recae.EDLAE, {"l2": 3.0, "dropout": 0.4, "kept_weight": 0.3}),
    (recae.RLAE, {"l2": 3.0, "xi": 0.1}),
    (recae.RDLAE, SCALED),
    (recae.InfiniteAE, {"l2": 0.5}),
    (recae.ADMMSLIM, {"l1": 0.2, "l2": 2.0, "rho": 5.0, "iterations": 30}),
]


def matrix_of(model: Any) -> np.ndarray:
    """The weights of a closed form, dense."""
    if isinstance(model, recae.InfiniteAE):
        return model.inverse_.numpy()
    weights = model.weights_
    return weights.numpy() if isinstance(weights, torch.Tensor) else weights.toarray()


@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")  # of counts that weights="neither" drops
@pytest.mark.parametrize("entries", [1 << 24, 100])
@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize("data", [TALL, WIDE], ids=["over items", "over users"])
@pytest.mark.parametrize(("make", "settings"), CASES)
def test_the_weights_are_those_of_the_cpu(
    make, settings, data, weights, entries, monkeypatch
) -> None:
    monkeypatch.setattr(scaled, "ENTRIES", entries)
    model = make(weights=weights, **settings)
    here = matrix_of(model.clone().fit(data, device="cpu", progress=False))
    with PretendGPU() as gpu:
        there = matrix_of(model.fit(data, device="cuda", progress=False))
        assert "_embedding_bag_forward_only" in {name.partition(".")[0] for name in gpu.operations}
    np.testing.assert_allclose(there, here, atol=1e-6 * np.abs(here).max())


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_of_whole_numbers_are_exact(n, dtype) -> None:
    x = TALL[:, :n].tocsr()
    with PretendGPU():
        gram = _gpu.gram_on_gpu([x[:50], x[50:]], n, np.dtype(dtype), CUDA)
        assert gram.is_cuda
        found = gram.cpu().numpy()
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, x.toarray().T @ x.toarray())


def test_no_rows_and_no_entries_give_zeros() -> None:
    with PretendGPU():
        for shape in ((0, 3), (4, 3)):
            block = sp.csr_matrix(shape)
            assert not _gpu.gram_on_gpu([block], 3, np.dtype(np.float64), CUDA).cpu().any()


def test_processes_share_the_matrix_and_one_inverts_it_there() -> None:
    class Alone(Ranks):
        def told(self, content: Any) -> Any:
            return content

    rows, ridge = scaled.Rows(TALL, lambda part: part), np.full(40, 2.0)
    found = []
    with PretendGPU(), bar(1, "", "", False) as shown:
        for ranks in (None, Alone(0, 1)):
            pair = _solve.over_items(rows, ridge, np.dtype(np.float64), 2.0, shown, CUDA, ranks)
            assert pair is not None and torch.as_tensor(pair[0]).is_cuda
            found.append(pair[0].cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


LARGE = interactions(700, 300, 0.05)


@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")
@pytest.mark.parametrize("data", [LARGE, sp.csr_matrix(LARGE.T)], ids=["over items", "over users"])
@pytest.mark.parametrize(("make", "settings"), CASES)
def test_it_fits_in_the_memory_of_two_matrices(make, settings, data, monkeypatch) -> None:
    monkeypatch.setattr(admm_slim, "COLUMNS", 16)  # far fewer than the items, as usual
    monkeypatch.setattr(_solve, "COLUMNS", 16)
    users, items = data.shape
    side = users if make is recae.InfiniteAE else items
    side = min(data.shape) if issubclass(make, _base.LinearRecommender) else side
    need = 2 * 8 * side**2
    with PretendGPU(memory=int(need / _solve.SPARE) + 100) as gpu:
        make(**settings).fit(data, device="cuda", progress=False)
        assert gpu.operations and gpu.peak <= need


@pytest.mark.parametrize(
    ("make", "data"),
    [(recae.EASE, TALL), (recae.EASE, WIDE), (recae.InfiniteAE, WIDE), (recae.ADMMSLIM, WIDE)],
)
def test_what_does_not_fit_there_is_computed_on_the_cpu(make, data) -> None:
    model = make(**({"precision": "float64"} if make is recae.EASE else {}), weights="both")
    with PretendGPU(memory=8 * 25**2) as gpu, pytest.warns(recae.RecaeWarning, match="CPU"):
        model.fit(data, device="cuda", progress=False)
    assert not gpu.operations


def copies(data: Any, **settings: Any) -> PretendGPU:
    """What a fit of EASE copies."""
    with PretendGPU() as gpu:
        recae.EASE(l2=2.0, **settings).fit(data, device="cuda", progress=False)
    return gpu


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_interactions_go_up_and_float32_weights_come_down(precision) -> None:
    ones = sp.csr_matrix((LARGE > 0) * 1.0)
    n = ones.shape[1]
    gpu = copies(ones, precision=precision)
    wide = 8 if precision == "float64" else 4
    pieces = -(-ones.nnz // (n * n // 16))
    # Users and values of the interactions, ends of the items, and some vectors of items.
    assert (
        gpu.copied["upload-pinned"] <= (8 + wide) * ones.nnz + 8 * (n + 1) * (pieces + 1) + 24 * n
    )
    assert gpu.copied["upload"] == 0
    assert 4 * n**2 <= gpu.copied["download"] <= 4 * n**2 + 16 * n
    assert gpu.count("download") <= 3 and gpu.count("sync") <= 1
    assert gpu.count("launch") < 40 + 10 * _gpu.STRIPS * (pieces + 1)


def test_twice_the_items_with_as_many_interactions_send_little_more() -> None:
    few = sp.csr_matrix((LARGE > 0) * 1.0)
    more = sp.csr_matrix((few.data, few.indices * 2, few.indptr), (700, 600))
    once, twice = copies(few), copies(more)
    assert twice.copied["upload-pinned"] < 1.3 * once.copied["upload-pinned"]
    assert twice.copied["download"] > 3.9 * once.copied["download"]


def test_users_are_inverted_without_an_item_item_matrix_there() -> None:
    wide = sp.csr_matrix((LARGE.T[:60] > 0) * 1.0)
    gpu = copies(wide)
    assert gpu.peak < 4 * 700**2
    assert gpu.copied["download"] < 4 * 700**2  # half of it, in strips


def test_weights_come_down_in_blocks(monkeypatch) -> None:
    monkeypatch.setattr(_gpu, "PINNED_BYTES", 4 * 40 * 7)
    here = recae.EASE(l2=2.0).fit(TALL > 0, device="cpu", progress=False).weights_
    with PretendGPU() as gpu:
        there = recae.EASE(l2=2.0).fit(TALL > 0, device="cuda", progress=False).weights_
    assert gpu.count("download", inside="models/linear/_gpu.py") == 6  # of 7 of the 40 rows
    torch.testing.assert_close(there, here)


def test_no_flag_of_matrix_products_matters_or_is_changed() -> None:
    def flags() -> tuple[Any, ...]:
        cuda = torch.backends.cuda.matmul
        return (
            torch.get_float32_matmul_precision(),
            cuda.allow_bf16_reduced_precision_reduction,
            torch.are_deterministic_algorithms_enabled(),
        )

    before = flags()
    for data in (TALL, WIDE):
        gpu = copies(sp.csr_matrix((data > 0) * 1.0))
        names = {name.partition(".")[0] for name in gpu.operations}
        assert not names & {"mm", "addmm", "bmm", "baddbmm", "matmul", "addmm_"}
        assert gpu.count("nondeterministic") == 0
    assert flags() == before


def huge(value: float) -> sp.csr_matrix:
    """Interactions with one huge weight."""
    x = TALL.copy()
    x.data[3] = value
    return x


@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")
def test_numbers_that_are_none_are_refused_as_on_the_cpu() -> None:
    """The same error, which names the same hyperparameter."""
    cases = [
        (recae.EASE(weights="both", precision="float32"), huge(1e25)),
        (recae.EASE(l2=1e39, precision="float32"), TALL),
        (recae.EASE(l2=1e-30, precision="float32"), sp.csr_matrix(np.ones((4, 3)))),
        (recae.EASE(l2=1e-30, precision="float32"), sp.csr_matrix(np.ones((4, 30)))),
    ]
    for model, data in cases:
        with pytest.raises(recae.RecaeError) as here:
            model.clone().fit(data, device="cpu", progress=False)
        with PretendGPU(), pytest.raises(recae.RecaeError) as there:
            model.clone().fit(data, device="cuda", progress=False)
        assert type(there.value) is type(here.value) and str(there.value) == str(here.value)
        assert getattr(there.value, "parameter", None) == getattr(here.value, "parameter", None)


def test_a_factor_without_numbers_is_refused_whatever_the_kernel_says(monkeypatch) -> None:
    def silent(matrix: Any, out: Any) -> None:
        out[0].fill_(float("nan"))

    monkeypatch.setattr(torch.linalg, "cholesky_ex", silent)
    with PretendGPU(), pytest.raises(recae.ConfigError, match="l2=3.0"):
        _solve.cholesky_inverse(torch.eye(3, device="cuda"), 3.0)


def test_the_kernel_of_users_is_that_of_the_cpu_in_any_parts(monkeypatch) -> None:
    model = recae.InfiniteAE(l2=0.5)
    here = model.clone().fit(TALL > 0, device="cpu", progress=False).inverse_
    for parts in (1, 7, 500):
        monkeypatch.setattr(infinite_ae, "PARTS", parts)
        with PretendGPU():
            there = model.fit(TALL > 0, device="cuda", progress=False).inverse_
        np.testing.assert_allclose(there, here, atol=1e-6 * float(here.abs().max()))


@pytest.mark.parametrize(("room", "sent_once"), [(10**8, True), (10**5, False)])
def test_entries_on_disk_are_sent_once_if_there_is_room(room, sent_once, tmp_path, monkeypatch):
    np.save(tmp_path / "data.npy", LARGE.data)
    mapped = sp.csr_matrix(LARGE.shape, dtype=LARGE.dtype)
    mapped.data = np.load(tmp_path / "data.npy", mmap_mode="r")
    mapped.indices, mapped.indptr = LARGE.indices, LARGE.indptr
    monkeypatch.setattr(svd, "gpu_room", lambda device: room)
    counts = []
    for most in (4, 12):
        rows = scaled.Rows(mapped, lambda part: part)
        with PretendGPU() as gpu:
            found = svd.truncated_svd(rows, 5, device=CUDA, most=most)
        here = svd.truncated_svd(scaled.Rows(LARGE, lambda part: part), 5, most=most)
        np.testing.assert_allclose(found[1], here[1], rtol=1e-6)
        counts.append(gpu.count("upload"))
    assert (counts[0] == counts[1]) is sent_once
