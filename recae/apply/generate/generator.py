"""UserGenerator: draws synthetic users from a fitted variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.apply.generate.codes import LOG_WEIGHTS, decode, drawn, inclusion, likelihood, races
from recae.apply.generate.fitting import Source, source_of
from recae.data import IdMap, Interactions
from recae.data.csr import row_numbers
from recae.errors import check_flag, check_integer, check_number, explained
from recae.models.neural._base import NeuralRecommender
from recae.rng import Stream, check_seed, numpy_generator, torch_generator
from recae.system.files import TABLES, atomic_file
from recae.system.progress import bar, check_progress
from recae.system.threads import survives_fork

PREFIX = "synthetic-"
MOST = 10**9
"""The largest number of users, whose ids have nine digits."""
CELLS = 1 << 22
"""Users x items of a block, at most: each of its few arrays takes 16 MiB."""
PILOT, ROUNDS = 1024, 16
"""Users drawn to calibrate the offsets of the items, and the number of rounds."""


@explained
@dataclass(frozen=True, eq=False)
class UserGenerator:
    """Draws synthetic users from a fitted variational autoencoder.

    z ~ p(z), n ~ p(n | z), then n different items, one after the other. Their probabilities are
    proportional to exp(f_i(z) / temperature + b_i), where f are the scores of the decoder.

    p(z) is one of `codes`. "mixture": a Gaussian mixture fitted jointly to sampled codes of the
    users and the lengths of their histories (for density estimation on codes see Ghosh et al., ICLR
    2020). "posterior": the posterior of a random training user, with that user's length. "prior":
    N(0, 1). b are offsets that give every item its training frequency. See `fit` for the choice.
    Users are drawn in blocks, each with its own random numbers: the first users do not depend on
    how many are drawn, and memory is one block. Attributes: temperature, and offsets, (n_items,)
    float32.

    >>> vae = recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data)
    >>> recae.apply.generate.UserGenerator.fit(vae, seed=1).sample(3).users.ids.tolist()
    ['synthetic-000000000', 'synthetic-000000001', 'synthetic-000000002']
    """

    model: NeuralRecommender
    codes: str
    temperature: float
    offsets: Tensor = field(repr=False)
    source: Source = field(repr=False)

    @classmethod
    @survives_fork
    def fit(
        cls,
        model: Any,
        data: Interactions | Any = None,
        *,
        codes: str = "mixture",
        components: int | None = None,
        temperature: float = 0.7,
        calibrate: bool = True,
        seed: int = 0,
        progress: bool | None = None,
    ) -> Self:
        """Learns the distribution of codes and history lengths.

        model: a fitted MultVAE, RecVAE, MacridVAE or HVamp, or another with a posterior of codes.
        data: the interactions it was fitted on; None for those stored in the model. codes:
        "mixture" (the default), of `components` normal distributions; None means one per 10 x
        (width of the code) users and at most 20. "posterior" is closer to the data and to
        individual users. "prior", for MultVAE only, has weaker structure and less risk.
        temperature: below 1 tastes are sharper and models fitted on the users are better, but the
        users are closer to real ones. Use the lowest value at which `synthetic_report` finds them
        no closer than held-out users. calibrate: whether to give the items their training
        frequencies, in 16 rounds of 1,024 pilot users.

        Raises ConfigError for a model without such a code and for bad options, DataError for
        unusable data.

        >>> recae.apply.generate.UserGenerator.fit(vae, codes="posterior", temperature=1.0)
        UserGenerator(MultVAE, posterior, temperature 1)
        """
        # Beyond these bounds the scores divided by it would overflow or be equal in float32.
        temperature = check_number("temperature", temperature, low=1e-3, high=1e3)
        check_flag("calibrate", calibrate)
        check_progress(progress)
        model, source, shares = source_of(model, data, codes, components, check_seed(seed))
        users = cls(model, codes, temperature, torch.zeros(len(model.items_)), source)
        if calibrate:
            users._calibrate(shares, seed, progress)
        return users

    @survives_fork
    def sample(self, n_users: int, *, seed: int = 0, progress: bool | None = None) -> Interactions:
        """Draws synthetic users over the items of the model, with weights of 1.

        Their ids are text such as synthetic-000000042. Raises ConfigError for a bad number or seed.

        >>> users = recae.apply.generate.UserGenerator.fit(vae)
        >>> (users.sample(9).matrix[:4] != users.sample(4).matrix).nnz
        0
        """
        n_users = check_integer("n_users", n_users, 1, MOST)
        matrices = [part for _, part in self._blocks(n_users, check_seed(seed), progress)]
        matrix = sp.vstack(matrices, format="csr")
        return Interactions(matrix, user_ids(0, n_users), self.model.items_)

    def batches(
        self,
        n_users: int,
        *,
        seed: int = 0,
        batch_size: int = 10_000,
        progress: bool | None = None,
    ) -> Iterator[Interactions]:
        """The users of `sample` in batches, each an Interactions.

        Raises ConfigError for bad numbers or a bad seed.

        >>> batches = recae.apply.generate.UserGenerator.fit(vae).batches(5, batch_size=2)
        >>> [batch.n_users for batch in batches]
        [2, 2, 1]
        """
        n_users = check_integer("n_users", n_users, 1, MOST)
        size = check_integer("batch_size", batch_size)
        return self._batches(n_users, size, check_seed(seed), progress)

    def write(
        self,
        path: str | Path,
        n_users: int,
        *,
        seed: int = 0,
        progress: bool | None = None,
        overwrite: bool = False,
    ) -> int:
        """Streams the users of `sample` to a Parquet file with the columns user_id and item_id.

        Returns the number of rows. The file is written atomically. overwrite: replace a file that
        is there. Raises StorageError if it cannot be written, ConfigError for a bad number or seed
        and for an ending other than .parquet or .pq.

        >>> recae.apply.generate.UserGenerator.fit(vae).write("users.parquet", 3) >= 3
        True
        """
        batches, items = self.batches(n_users, seed=seed, progress=progress), self.model.items_
        item_ids = pa.array(items.ids, type=pa.string() if items.kind == "str" else pa.int64())
        schema = pa.schema([("user_id", pa.string()), ("item_id", item_ids.type)])
        written = 0
        with (
            atomic_file(path, overwrite=overwrite, endings=TABLES) as part,
            pq.ParquetWriter(part, schema, compression="zstd") as file,
        ):
            for batch in batches:  # a row group for each
                users = pa.array(batch.users.ids, type=pa.string())
                rows, indices = row_numbers(batch.matrix.indptr), batch.matrix.indices
                columns = [users.take(pa.array(rows)), item_ids.take(pa.array(indices))]
                file.write_table(pa.Table.from_arrays(columns, schema=schema))
                written += batch.nnz
        return written

    def __repr__(self) -> str:
        name = type(self.model).__name__
        return f"{type(self).__name__}({name}, {self.codes}, temperature {self.temperature:g})"

    @property
    def block(self) -> int:
        """Users drawn together, with one stream of random numbers."""
        return 64 * min(max(CELLS // max(len(self.model.items_), 1) // 64, 1), 4)

    def _batches(
        self, n_users: int, size: int, seed: int, progress: bool | None
    ) -> Iterator[Interactions]:
        """Users in batches of `size`, the last one smaller, cut out of blocks of other sizes; so
        the batch size does not change who is generated."""
        waiting: list[Any] = []
        start = held = 0
        for end, part in self._blocks(n_users, seed, progress):
            waiting.append(part)
            held += part.shape[0]
            while held >= size or (end == n_users and held):
                matrix = sp.vstack(waiting, format="csr")
                some, rest = matrix[:size], matrix[size:]
                users = user_ids(start, start + some.shape[0])
                yield Interactions(some, users, self.model.items_)
                start += some.shape[0]
                waiting, held = [rest], rest.shape[0]

    def _blocks(self, n_users: int, seed: int, progress: bool | None) -> Iterator[tuple[int, Any]]:
        """Blocks of users as CSR matrices, each with the number of users drawn so far."""
        with bar(n_users, "drawing synthetic users", "user", progress) as progress_bar:
            for number, start in enumerate(range(0, n_users, self.block)):
                rows = min(self.block, n_users - start)
                logs, noise, lengths = self._block(seed, Stream.SYNTHETIC_USERS, number)
                columns, ends = drawn(logs, noise, lengths)
                kept = columns[: int(ends[rows])].cpu().numpy()
                indptr = ends[: rows + 1].numpy()
                ones = np.ones(len(kept), dtype=np.float32)
                yield start + rows, sp.csr_matrix((ones, kept, indptr), (rows, logs.shape[1]))
                progress_bar.update(rows)

    def _block(self, seed: int, stream: int, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of weights and noise, (block, n_items), and lengths, (block,)."""
        codes, lengths = self.source.draw(self.block, numpy_generator(seed, stream, number))
        scores = decode(self.model, torch.from_numpy(codes))
        logs = LOG_WEIGHTS[likelihood(self.model)](scores) / self.temperature
        noise = races(tuple(logs.shape), torch_generator(seed, stream, number)).to(logs.device)
        logs = logs + self.offsets.to(logs.device)
        return logs, noise, torch.from_numpy(lengths).clamp(1, logs.shape[1])

    def _calibrate(self, shares: np.ndarray, seed: int, progress: bool | None) -> None:
        """Fits the offsets, so that each item has the expected share of users of training.

        shares: (n_items,), all positive. Every round draws new pilot users, and steps become
        smaller (stochastic approximation, Robbins & Monro 1951).
        """
        blocks = -(-PILOT // self.block)
        wanted = torch.from_numpy(shares.astype(np.float32)).log()
        with bar(ROUNDS * blocks, "calibrating", "block", progress) as progress_bar:
            for step in range(ROUNDS):
                total = torch.zeros_like(self.offsets)
                for number in range(step * blocks, (step + 1) * blocks):
                    chances = inclusion(*self._block(seed, Stream.SYNTHETIC_CALIBRATION, number))
                    total += chances.sum(0).cpu()
                    progress_bar.update()
                found = (total / (blocks * self.block)).clamp(min=1e-9).log()
                self.offsets.add_(0.8 / max(step - ROUNDS // 2, 1) * (wanted - found))


def user_ids(start: int, stop: int) -> IdMap:
    """The ids of synthetic users: text with leading zeros, so that it sorts by number."""
    numbers = np.char.zfill(np.arange(start, stop).astype(str), 9)
    return IdMap(np.char.add(PREFIX, numbers).astype(object), "user")


@explained
def synthesise(
    model: Any,
    n_users: int,
    *,
    data: Interactions | Any = None,
    seed: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Interactions:
    """Draws synthetic users from a fitted variational autoencoder, over its items.

    data: the interactions the model was fitted on; None for those stored in the model. options:
    those of `UserGenerator.fit` (codes, components, temperature, calibrate); its methods `batches`
    and `write` draw more users than fit in memory. User ids are text such as synthetic-000000042;
    every weight is 1.

    Read `synthetic_report` before you share such users. They are not provably anonymous: nothing
    here is differentially private.

    Raises ConfigError and DataError as `UserGenerator.fit` does.

    >>> recae.apply.generate.synthesise(vae, 100).n_users
    100
    """
    n_users = check_integer("n_users", n_users, 1, MOST)
    users = UserGenerator.fit(model, data, seed=seed, progress=progress, **options)
    return users.sample(n_users, seed=seed, progress=progress)
