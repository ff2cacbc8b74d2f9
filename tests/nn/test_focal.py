"""The focal loss row by row: pieces, certain probabilities, and what it leaves alone."""

from __future__ import annotations

import pytest
import scipy.sparse as sp
import torch

from recae.nn import Ragged
from recae.nn.focal import focal_loss

X = sp.random(8, 11, 0.4, format="csr", random_state=2)
X.data[:] = 1
TARGET = Ragged.from_csr(X)


def parts() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(8, 11, generator=generator, requires_grad=True) for _ in range(2)]


@pytest.mark.parametrize("cells", [1, 25, 1 << 17])
def test_pieces_do_not_matter(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recae.nn.focal.TILE_CELLS", cells)
    given = parts()
    loss = 3 * focal_loss(given, TARGET)
    found = torch.autograd.grad(loss, given)
    p = given[0].sigmoid() * given[1].sigmoid()
    has = torch.from_numpy(X.toarray()) > 0
    cost = torch.where(has, -0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log())
    expected = 3 * cost.sum(1).mean()
    torch.testing.assert_close(loss, expected)
    for mine, other in zip(found, torch.autograd.grad(expected, given), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_narrow_scores_are_read_in_the_type_of_the_target() -> None:
    exact = parts()
    narrow = [part.detach().bfloat16().requires_grad_() for part in exact]
    wide = [part.detach().float().requires_grad_() for part in narrow]
    found, expected = focal_loss(narrow, TARGET), focal_loss(wide, TARGET)
    assert torch.equal(found, expected) and found.dtype == torch.float32
    for mine, other in zip(
        torch.autograd.grad(found, narrow), torch.autograd.grad(expected, wide), strict=True
    ):
        assert torch.equal(mine, other.bfloat16())


def test_the_scores_are_left_as_they_are() -> None:
    given = parts()
    before = [part.detach().clone() for part in given]
    focal_loss(given, TARGET).backward()
    assert all(torch.equal(part, old) for part, old in zip(given, before, strict=True))


def test_what_is_certain_has_no_slope() -> None:
    score = torch.full((8, 11), 30.0, requires_grad=True)  # log sigmoid(30) > -1e-6
    focal_loss([score], TARGET).backward()
    assert score.grad is not None and not score.grad.any()
