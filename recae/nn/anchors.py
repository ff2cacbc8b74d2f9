"""Item anchors that pull the codes of users towards their items (personalised item alignment)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Batch, Ragged, bag
from recae.nn.products import gather


class Anchors(nn.Module):
    """The mean squared distance of a code to the anchors of the user's items (Vuong et al. 2026).

    1/|x| sum_(i in x) |z - e_i|^2, over the items of the target, with e (n_items, width) learnt.
    Only training needs it. `sparse` may be set, for an optimiser that takes it: the gradient of e
    then holds only the rows of the items in the batch.
    """

    sparse: bool = False

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, width))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the anchors in place, near zero."""
        nn.init.normal_(self.weight, std=0.01, generator=generator)

    def forward(self, z: Tensor, batch: Batch) -> Tensor:
        """The distance of each row, (rows,), of codes z (rows, width)."""
        x = batch.target
        assert isinstance(x, Ragged)
        if self.sparse or z.device.type == "cpu":
            items, place = x.columns_met()
            table = F.embedding(items, self.weight, sparse=self.sparse)  # (met, width)
        else:  # a GPU would have to be asked how many items there are
            table, place = self.weight, x.indices
        shares = (1 / x.lengths.clamp_min(1)).to(z.dtype)[x.rows]  # (nnz,)
        mean = bag(table, Ragged(place, x.offsets, shares, len(table)))  # (all rows, width)
        squares = x.row_sums(shares * gather(table.square().sum(1), place))
        mean, squares = batch.mine(mean), batch.mine(squares)
        return z.square().sum(1) - 2 * (z * mean).sum(1) + squares
