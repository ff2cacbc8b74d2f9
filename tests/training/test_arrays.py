"""The loader of dense rows deals every row once, in an order of its own for each epoch."""

from __future__ import annotations

import torch

from recae.training import ArrayLoader

ROWS = torch.arange(50.0)[:, None] * torch.ones(3)


def test_an_epoch_deals_every_row_once() -> None:
    loader = ArrayLoader(ROWS, None, batch_size=8, seed=0)
    batches = list(loader.epoch(1))
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
    assert len(loader) == 7
    dealt = torch.cat([batch.input for batch in batches])
    assert sorted(dealt[:, 0].tolist()) == list(range(50))
    for batch in batches:
        assert batch.target is batch.input
        assert batch.rows is not None and torch.equal(batch.input, ROWS[batch.rows])


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    def order(seed: int, epoch: int) -> list[float]:
        loader = ArrayLoader(ROWS, None, batch_size=100, seed=seed)
        return next(iter(loader.epoch(epoch))).input[:, 0].tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_a_target_of_its_own_follows_its_input() -> None:
    for batch in ArrayLoader(ROWS, -ROWS, batch_size=7, seed=1).epoch(3):
        assert torch.equal(batch.target, -batch.input)


def test_binarised_rows_are_drawn_with_the_chances_they_hold() -> None:
    chances = torch.tensor([0.0, 0.2, 0.9, 1.0]).expand(5000, 4)
    loader = ArrayLoader(chances, None, batch_size=512, seed=0, binarise=True)
    drawn = [torch.cat([batch.input for batch in loader.epoch(number)]) for number in (1, 2, 1)]
    assert set(drawn[0].unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(drawn[0].mean(0), chances[0], atol=0.02)
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])
    assert all(batch.target is batch.input for batch in loader.epoch(1))
