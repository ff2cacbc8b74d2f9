"""The training loop: what it keeps, when it stops, what it leaves alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.errors import ConfigError, RecaeWarning, TrainingError
from recae.models import MultDAE
from recae.nn import AutoencoderNet, DeterministicCode
from recae.rng import Stream
from recae.training import OPTIMISERS, Epoch, Plan, SparseLoader, resolve_device, train
from recae.training.objective import Objective, annealed

MATRIX = sp.random(40, 30, 0.2, format="csr", random_state=1, dtype=np.float32)
CPU = torch.device("cpu")


def run(plan: Plan, seed: int = 0, **options: object) -> tuple[torch.nn.Module, list[Epoch]]:
    net = MultDAE(latent=4)._network(30, 40)
    loader = SparseLoader(MATRIX, None, batch_size=10, seed=seed)
    epochs = train(net, loader, Objective(), plan, seed=seed, device=CPU, **options)
    return net, epochs


def plan(epochs: int = 5, lr: float = 0.01, l2: float = 0.0, patience: int = 2) -> Plan:
    return Plan(epochs, lr, l2, "score", patience)


def vector(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def test_the_loss_falls_and_a_seed_fixes_every_weight() -> None:
    net, epochs = run(plan())
    assert [e.number for e in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1].loss < epochs[0].loss
    again, _ = run(plan())
    other, _ = run(plan(), seed=1)
    assert torch.equal(vector(net), vector(again))
    assert not torch.equal(vector(net), vector(other))


def test_the_best_epoch_is_kept_and_patience_ends_the_run() -> None:
    script = iter([0.1, 0.3, 0.2, 0.3, 0.9])
    net, epochs = run(plan(epochs=10), validate=lambda: {"score": next(script)})
    # Best is epoch 2; epochs 3 and 4 bring nothing better (a tie is not better), so 5 never runs.
    assert len(epochs) == 4
    two, _ = run(plan(epochs=2))
    assert torch.equal(vector(net), vector(two))


def test_a_callback_sees_epochs_and_can_stop() -> None:
    seen: list[int] = []

    def callback(epoch: Epoch) -> bool:
        seen.append(epoch.number)
        return epoch.number == 3

    run(plan(), callbacks=[callback])
    assert seen == [1, 2, 3]


def test_the_learning_rate_falls_to_a_fifth_after_each_milestone(monkeypatch) -> None:
    used: list[float] = []

    class Recorder(OPTIMISERS["adam"]):
        def step(self) -> None:
            used.append(self.lr)
            super().step()

    monkeypatch.setitem(OPTIMISERS, "adam", Recorder)
    # 40 users in batches of 10: four updates an epoch.
    run(replace(plan(epochs=6, lr=0.5), milestones=(4, 2)))
    np.testing.assert_allclose(used, np.repeat([0.5, 0.5, 0.1, 0.1, 0.02, 0.02], 4))
    assert MultDAE(milestones=(4, 2)).milestones == (4, 2)
    with pytest.raises(ConfigError, match=r"milestones .*\(0,\)") as caught:
        MultDAE(milestones=(0,)).check_params()
    assert caught.value.parameter == "milestones" and caught.value.value == (0,)


def test_a_model_learns_as_without_milestones_until_the_first() -> None:
    plain, falling = (MultDAE(latent=4, epochs=4, milestones=m).fit(MATRIX) for m in ((), (2,)))
    same = [a.loss == b.loss for a, b in zip(plain.epochs_, falling.epochs_, strict=True)]
    # One update an epoch, after its loss: what epoch 3 does differently shows in epoch 4.
    assert same == [True, True, True, False]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_what_is_overwritten_learns_as_if_it_never_had_before(optimiser, monkeypatch) -> None:
    made = []

    class Noted(OPTIMISERS[optimiser]):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setitem(OPTIMISERS, optimiser, Noted)
    seen: list[int] = []

    def rewrite(net: AutoencoderNet, epoch: int) -> list[torch.nn.Parameter]:
        seen.append(epoch)
        if epoch != 3:
            return []
        net.decoder.head.weight.data.fill_(0.5)
        return [net.decoder.head.weight]

    # Five epochs of four updates, the last three of them after the overwriting.
    net, _ = run(replace(plan(epochs=5), optimiser=optimiser, before_epoch=rewrite))
    assert seen == [1, 2, 3, 4, 5]
    updates = {name: float(made[0].state[p]["step"]) for name, p in net.named_parameters()}
    assert updates.pop("decoder.head.weight") == 12
    assert set(updates.values()) == {20}


def test_a_loss_that_is_no_number_stops_with_an_error_that_says_when() -> None:
    with pytest.raises(TrainingError, match=r"epoch 1.*lower lr"):
        run(plan(lr=1e38))


def test_a_finite_loss_far_above_the_untrained_one_is_told() -> None:
    # Scores are b_i + w_i . z with |z| <= 2 (tanh, four numbers): at lr=1000 the first steps of
    # Adam put them at some thousands, where the softmax gives the history next to nothing.
    with pytest.warns(RecaeWarning, match=r"diverged.*epoch 3, .*lr \(now 1000"):
        _, epochs = run(plan(epochs=3, lr=1000.0))
    assert epochs[-1].loss > 100 * math.log(30) * MATRIX.nnz / 40
    # The epoch that is kept is the one that counts.
    script = iter([0.3, 0.1])
    with pytest.warns(RecaeWarning, match=r"diverged.*epoch 1, .*lr"):
        run(plan(epochs=2, lr=1000.0), validate=lambda: {"score": next(script)})


def test_a_loss_that_rises_with_its_kl_weight_is_no_divergence() -> None:
    # The term is a constant 500 a row: the loss rises from some 20 to 520 by its weight alone.
    class Costly(DeterministicCode):
        def forward(self, hidden, batch, generator):
            return hidden, {"kl": torch.full((len(hidden),), 500.0)}

    net = MultDAE(latent=4)._network(30, 40)
    net.code = Costly()
    loader = SparseLoader(MATRIX, None, batch_size=10, seed=0)
    objective = Objective("multinomial", {"kl": annealed(1.0, 1.0, 12)})
    epochs = train(net, loader, objective, plan(epochs=4), seed=0, device=CPU)
    assert epochs[-1].loss > 2 * epochs[0].loss


def test_weights_broken_by_the_last_update_stop_before_they_are_measured() -> None:
    def measured() -> dict[str, float]:
        raise AssertionError("nothing is left to measure")

    net = MultDAE(latent=4)._network(30, 40)
    one_batch = SparseLoader(MATRIX, None, batch_size=100, seed=0)
    with pytest.raises(TrainingError, match="update .*epoch 1: .*lr"):
        train(net, one_batch, Objective(), plan(lr=1e39), seed=0, device=CPU, validate=measured)


def test_l2_is_the_gradient_of_the_sum_of_squares() -> None:
    # With no data gradient (zero learning from one epoch of tiny lr), compare Adam's first step:
    # its sign is that of the gradient, so a huge l2 moves every weight towards zero by lr.
    start = MultDAE(latent=4)._network(30, 40)
    from recae.rng import torch_generator

    start.initialise(torch_generator(0, Stream.WEIGHTS))
    loader = SparseLoader(MATRIX, None, batch_size=100, seed=0)
    net = MultDAE(latent=4)._network(30, 40)
    train(net, loader, Objective(), plan(epochs=1, lr=1e-4, l2=1e6), seed=0, device=CPU)
    before, after = start.decoder.head.weight, net.decoder.head.weight
    torch.testing.assert_close(after, before - 1e-4 * before.sign(), rtol=0, atol=2e-6)
    assert not torch.equal(net.decoder.head.bias, start.decoder.head.bias)


def test_nothing_global_changes() -> None:
    before = (
        torch.random.get_rng_state(),
        np.random.get_state()[1].copy(),
        torch.get_num_threads(),
    )
    run(plan(epochs=1))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert before[2] == torch.get_num_threads()


def test_annealing_rises_linearly_and_stops_at_the_cap() -> None:
    weight = annealed(0.2, share=0.5, updates=40)
    assert [weight(None, step) for step in (0, 10, 20, 30)] == [0.0, 0.1, 0.2, 0.2]


def test_devices() -> None:
    assert resolve_device("cpu") == CPU
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        resolve_device("gpu")
    with pytest.raises(ConfigError, match="cuda:99"):
        resolve_device("cuda:99")


@pytest.mark.parametrize("device", ["mps", "xpu", "meta", torch.device("meta"), None, 1.5])
def test_devices_that_nothing_is_tested_on_are_refused(device) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_device(device)
    assert refused.value.parameter == "device" and refused.value.value == device
