"""CUDA graphs of the pretended GPU: what a capture keeps, refuses and replays."""

from __future__ import annotations

import pytest
import torch

from tests.gpu.pretend import PretendGPU


@pytest.fixture
def gpu():
    with PretendGPU(watch="gpu") as device:
        yield device


def captured(run, *generators):
    """A graph of a function, and the result that its replays write into."""
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = run()
    return graph, result


def test_a_replay_reads_and_writes_the_tensors_of_the_capture(gpu) -> None:
    x = torch.tensor([1.0, 2.0], device="cuda")
    graph, result = captured(lambda: (x * 3).exp().log())
    assert result.isnan().all()  # nothing has run
    for values in ([1.0, 2.0], [4.0, 5.0]):
        x.copy_(torch.tensor(values))
        graph.replay()
        torch.testing.assert_close(result.cpu(), 3 * torch.tensor(values))
    assert gpu.count("replay") == 2 and graph.kernels == 3


def test_a_capture_has_no_effect_and_a_replay_has(gpu) -> None:
    total = torch.zeros(2, device="cuda")
    graph, _ = captured(lambda: total.add_(1))
    assert total.tolist() == [0, 0]
    graph.replay()
    graph.replay()
    assert total.tolist() == [2, 2]


def test_numbers_of_the_host_are_read_once(gpu) -> None:
    x, number, on_host, there = torch.ones(1, device="cuda"), 2.0, torch.tensor(2.0), None
    there = torch.full((), 2.0, device="cuda")
    graph, (by_number, by_host, by_tensor) = captured(lambda: (x * number, x * on_host, x * there))
    number = 5.0
    on_host.fill_(5)
    there.fill_(5)
    graph.replay()
    assert (float(by_number), float(by_host), float(by_tensor)) == (2, 2, 5)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x + torch.ones(2).to("cuda"),
        lambda x: torch.tensor([1.0, 2.0], device="cuda"),
        lambda x: x.copy_(torch.ones(2)),
    ],
)
def test_what_waits_or_copies_is_refused(gpu, run) -> None:
    x = torch.tensor([1.0, 2.0], device="cuda")
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(graph):
        x.mul_(2)
        run(x)
    assert x.tolist() == [1, 2] and not torch.cuda.is_current_stream_capturing()
    with pytest.raises(RuntimeError, match="capture"):
        graph.replay()


def test_a_replay_draws_anew_from_a_registered_generator(gpu) -> None:
    generator = torch.Generator("cuda").manual_seed(1)
    expected = [torch.rand(3, generator=generator, device="cuda").tolist() for _ in range(2)]

    def draw():
        return torch.rand(3, generator=generator, device="cuda")

    generator.manual_seed(1)
    graph, result = captured(draw, generator)
    found = []
    for _ in range(2):
        graph.replay()
        found.append(result.tolist())
    generator.manual_seed(1)
    graph.replay()
    assert found == expected and result.tolist() == expected[0]
    with pytest.raises(RuntimeError, match="registered"):
        captured(draw)
    with pytest.raises(RuntimeError, match="capture"):
        captured(generator.get_state, generator)


def test_a_capture_that_was_broken_off_keeps_its_generators(gpu) -> None:
    generator, x = torch.Generator("cuda"), torch.ones(2, device="cuda")
    with pytest.raises(RuntimeError, match="capturing"):
        captured(lambda: float(x.sum()), generator)
    for options in ({}, {"generator": generator}):
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(2, device="cuda", **options)
    captured(lambda: x + 1)
    torch.rand(2, device="cuda")
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(2, device="cuda", generator=generator)


def test_a_backward_pass_is_taken_in(gpu) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    net.to("cuda")
    x, loss = torch.ones(5, 3, device="cuda"), torch.nn.functional.mse_loss

    def step(x):
        value = loss(net(x), x[:, :2])
        value.backward()
        return value.detach()

    graph, value = captured(lambda: step(x))
    grads = [parameter.grad for parameter in net.parameters()]
    for values in (torch.rand(5, 3), torch.rand(5, 3)):
        x.copy_(values)
        graph.replay()
        for parameter in net.parameters():
            parameter.grad = None
        assert float(step(x)) == float(value)
        for parameter, grad in zip(net.parameters(), grads, strict=True):
            assert parameter.grad is not grad and torch.equal(parameter.grad, grad)
