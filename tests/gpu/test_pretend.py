"""The pretended GPU itself: what it says, refuses and counts."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.gpu.pretend import PretendGPU

MIXED = "cuda:0 and cpu"


@pytest.fixture
def gpu():
    with PretendGPU(watch="gpu") as device:
        yield device


def test_it_is_there_while_it_is_entered() -> None:
    assert not torch.cuda.is_available()
    with PretendGPU():
        x = torch.zeros(2, device="cuda")
        assert (
            torch.cuda.is_available() and x.is_cuda and not x.is_cpu and str(x.device) == "cuda:0"
        )
    assert not torch.cuda.is_available() and x.device.type == "cpu" and torch.zeros(2).is_cpu


def test_results_stay_where_their_operands_are(gpu) -> None:
    x = torch.rand(4, 3, device="cuda")
    for made in (x + 1, x.t(), x[1:], x.new_zeros(2), torch.zeros_like(x), x @ x.t(), x.sum()):
        assert made.is_cuda
    for made in (torch.zeros_like(x, device="cpu"), x.cpu(), x.to("cpu"), torch.ones(2)):
        assert made.device.type == "cpu"
    assert x.to("cuda") is x and x.to(torch.float64).is_cuda
    assert copy.deepcopy(x).is_cuda and torch.as_tensor(np.ones(2), device="cuda").is_cuda


def test_gradients_follow(gpu) -> None:
    net = torch.nn.Linear(3, 2).to("cuda")
    optimiser = torch.optim.Adam(net.parameters(), fused=True)
    net(torch.ones(4, 3, device="cuda")).square().sum().backward()
    optimiser.step()
    assert net.weight.grad.is_cuda and optimiser.state_dict()["state"][0]["step"].is_cuda
    on_host = torch.ones(3, requires_grad=True)
    (2 * on_host.to("cuda")).sum().backward()
    assert on_host.grad.device.type == "cpu" and on_host.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, y: x + y,
        lambda x, y: F.linear(x, y),
        lambda x, y: y[x.long()[0]],
        lambda x, y: torch.cat([x, y]),
        lambda x, y: x.index_put_((torch.tensor([0], device="cuda"),), y[0]),
        lambda x, y: y.add_(x.sum()),
    ],
)
def test_mixed_operands_are_refused(gpu, mix) -> None:
    with pytest.raises(RuntimeError, match=MIXED):
        mix(torch.zeros(3, 3, device="cuda"), torch.ones(3, 3))


def test_scalars_and_indices_of_the_host_are_taken(gpu) -> None:
    x = torch.zeros(3, 3, device="cuda")
    assert (x + torch.tensor(2.0)).is_cuda and x[torch.tensor([0, 1])].is_cuda
    x[:, 1] = torch.ones(3)
    assert gpu.count("upload") == 2


def test_generators_belong_to_a_device(gpu) -> None:
    here, there = torch.Generator("cuda"), torch.Generator()
    assert torch.rand(2, generator=here, device="cuda").is_cuda
    with pytest.raises(RuntimeError, match="'cuda'"):
        torch.rand(2, generator=there, device="cuda")
    with pytest.raises(RuntimeError, match="'cpu'"):
        torch.nn.init.normal_(torch.zeros(2), generator=here)


def test_numpy_sees_nothing_of_it(gpu) -> None:
    x = torch.zeros(2, device="cuda")
    for read in (x.numpy, lambda: np.asarray(x)):
        with pytest.raises(TypeError, match="cuda:0"):
            read()
    with pytest.raises(RuntimeError, match="pin"):
        x.pin_memory()


@pytest.mark.parametrize(
    ("what", "waits"),
    [
        (lambda x: float(x.sum()), 1),
        (lambda x: bool((x > 0).any()), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x.long().unique(), 1),
        (lambda x: torch.bincount(x.long()), 1),
        (lambda x: torch.repeat_interleave(x, x.long()), 1),
        (lambda x: torch.repeat_interleave(x, x.long(), output_size=6), 0),
        (lambda x: x.masked_fill_(x > 1, 0), 0),
        (lambda x: x.__setitem__(x > 1, 0), 0),
        (lambda x: x.topk(2), 0),
    ],
)
def test_waits_are_counted(gpu, what, waits) -> None:
    x = torch.tensor([1.0, 2.0, 3.0], device="cuda")
    what(x)
    assert gpu.count("sync") == waits
    if waits:
        with pytest.raises(AssertionError, match="sync"), gpu.refusing("sync"):
            what(torch.tensor([1.0, 2.0, 3.0], device="cuda"))


def test_copies_are_counted(gpu) -> None:
    x = torch.ones(3)
    x.to("cuda", non_blocking=True).cpu()
    x.pin_memory().to("cuda", non_blocking=True)
    x.pin_memory().to("cuda").tolist()
    found = {kind: gpu.count(kind) for kind in ("upload", "upload-pinned", "download")}
    assert found == {"upload": 2, "upload-pinned": 1, "download": 2}
    assert all(where.startswith("test_pretend.py:") for *_, where in gpu.table("upload"))


def test_bytes_of_copies_are_counted(gpu) -> None:
    x = torch.ones(3).to("cuda", torch.float64)
    torch.empty(3).copy_(x)
    torch.tensor([1, 2], device="cuda")
    assert gpu.copied["upload"] == 3 * 8 + 2 * 8 and gpu.copied["download"] == 3 * 4


def test_memory_is_counted_and_ends() -> None:
    with PretendGPU(memory=10_000) as gpu:
        for _ in range(5):
            torch.zeros(2000, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            kept = [torch.zeros(1000, device="cuda") for _ in range(3)]
        assert gpu.peak == 8000 and "kept" not in locals()
        assert torch.cuda.mem_get_info() == (10_000, 10_000)


def test_threads_are_taken_in(gpu) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.zeros(2, device="cuda").is_cuda))
    thread.start()
    thread.join()
    assert found == [True]
