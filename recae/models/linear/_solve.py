"""The matrix inverse of the closed forms: size, precision, memory plan and solver."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import linear

from recae.data.scaled import Rows
from recae.errors import CapacityError, ConfigError, warn
from recae.models.linear._gpu import fetched, gram_on_gpu, on_gpu, some_of
from recae.models.linear._gram import gram_matrix
from recae.nn import Ranks
from recae.nn.batch import bag, sent
from recae.system.machine import gpu_room, total_memory

Matrix = np.ndarray | Tensor
"""A matrix in memory, of numpy, whose memory can shrink, or on a GPU, of torch."""

SPARE = 0.85
"""Share of the memory that the matrices may take."""

FEWER = 0.75
"""Users to an item below which users are inverted: users^3 is then less than half of items^3, so
that float64 over users takes no longer than float32 over items."""

MUCH_FEWER = 0.5
"""The same where float32 is asked for: the item-item matrix alone takes less memory, so that users
are inverted only where that takes a fraction of the time."""

LOST = 1e-3
"""Relative rounding error of a weight above which a warning is given. It is epsilon times the
weight of a column in ridges, which bounds the condition of X'X + diag(r) for two equal columns."""

CPU = torch.device("cpu")

HEAVY = 1e5
"""Sum of squares of a column, in ridges, up to which users are inverted. Rounding grows with its
square: up to here it stays below that of the float32 in which weights are kept."""


@dataclass(frozen=True)
class SolverPlan:
    """One plan to the inverse: through the users or the items, in a float.

    inverted: bytes of the matrix that is inverted; needed: bytes of memory that it takes in all.
    """

    over_users: bool
    dtype: np.dtype[Any]
    inverted: int
    needed: int

    def __str__(self) -> str:
        if self.over_users:
            return f"a user-user matrix in {self.dtype} beside an item-item matrix in float32"
        return f"one item-item matrix in {self.dtype}"


def plan_solver(
    name: str,
    n_users: int,
    n_items: int,
    heaviest: float,
    precision: str,
    device: torch.device = CPU,
) -> tuple[SolverPlan, torch.device]:
    """The first plan that fits, users before items where they are clearly fewer, and its device.

    heaviest: the largest sum of squares of a column of X as a multiple of its ridge. precision:
    "float64", "float32" (of an item-item matrix; a user-user matrix is always in float64), or
    "auto": float64 if that fits, else float32, and a warning. device: taken if one of the plans
    fits there, else the CPU, and a warning. Raises CapacityError.
    """
    items, users, double = n_items**2, n_users**2, np.dtype(np.float64)
    single = SolverPlan(False, np.dtype(np.float32), 4 * items, 4 * items)
    doubled = [SolverPlan(False, double, 8 * items, 8 * items)]
    fewer = MUCH_FEWER if precision == "float32" else FEWER
    if n_users < fewer * n_items and heaviest <= HEAVY:
        doubled.insert(0, SolverPlan(True, double, 8 * users, 8 * users + 4 * items))
    plans = doubled[:-1] if precision == "float32" else doubled
    plans = plans if precision == "float64" else [*plans, single]
    available = SPARE * total_memory()
    least = min(plans, key=lambda plan: plan.needed)
    if least.needed > available:
        raise CapacityError(
            f"{name} on {n_items:,} items needs {least.needed / 1e9:.1f} GB for {least}, and "
            f"{available / 1e9:.1f} GB may be used. The inverse is in the memory of one process, "
            "however many share X'X: keep fewer items with data.filter(min_per_item=...), or use "
            "ELSA, SparseEASE, PureSVD or SVDAE"
        )
    fitting = [plan for plan in plans if plan.needed <= available]
    there = [plan for plan in fitting if 2 * plan.inverted <= _room(device)]
    if precision == "float32" and device.type != "cpu":
        there.sort(key=lambda plan: plan.over_users)  # many GPUs are far slower in float64
    chosen = (there or fitting)[0]
    device = device_that_fits(name, device, chosen.inverted)
    if precision == "auto" and chosen is single:
        in_memory = min(plan.needed for plan in doubled)
        on_device = 2 * min(plan.inverted for plan in doubled)
        needed = in_memory if in_memory > available else on_device
        warn(
            f"{name} on {n_items:,} items inverts their item-item matrix in float32: float64 would "
            f"need {needed / 1e9:.1f} GB" + (f" on {device}" if needed == on_device else "")
        )
    return chosen, device


def warn_if_light(name: str, l2: float, heaviest: float, plan: SolverPlan) -> None:
    """Warns if a ridge is so small beside a column of X'X that rounding affects the weights."""
    lost = heaviest * float(np.finfo(plan.dtype).eps)
    if lost > LOST:
        warn(
            f"weights of {name} may have a relative error of {lost:.0e}: at l2={l2} a column of "
            f"X'X is {heaviest:.0e} times l2, which {plan.dtype} cannot resolve; raise l2 or "
            "relative_l2" + (" or set precision='float64'" if plan.dtype == np.float32 else "")
        )


def device_that_fits(name: str, device: torch.device, inverted: int) -> torch.device:
    """The device if a matrix of so many bytes can be inverted there, else the CPU, and a warning.

    The inversion needs memory for two matrices: the factor and the inverse.
    """
    if 2 * inverted <= _room(device):
        return device
    warn(
        f"{name} inverts on the CPU: it needs {2 * inverted / 1e9:.1f} GB, but on {device} only "
        f"{_room(device) / 1e9:.1f} GB may be used"
    )
    return CPU


def _room(device: torch.device) -> float:
    """Bytes that an inversion may take on a device; the CPU's are counted in `plan_solver`."""
    if device.type != "cuda":
        return float("inf")
    return SPARE * gpu_room(device)


def by_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies, else numpy's BLAS.

    Where it was measured: float32 with AVX-512, 1,024 x 1,024 times its like on one core of an AMD
    Zen 5, 252 GFLOP/s beside 138 of OpenBLAS and 119 of MKL. It has no float64.
    """
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return bool(dtype == torch.float32 and onednn and wide)


def operand(block: Tensor) -> Tensor:
    """A copy of a block as `product` takes it."""
    if by_onednn(block.dtype):
        return block.contiguous().to_mkldnn()
    return block.clone(memory_format=torch.contiguous_format)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left right', (m, n) and again an operand; left (m, k) and right (n, k) are operands."""
    if left.is_mkldnn:
        return linear(left, right)
    return torch.from_numpy(np.matmul(left.numpy(), right.numpy().T))


def plain(block: Tensor) -> Tensor:
    """An operand as a plain tensor."""
    return block.to_dense() if block.is_mkldnn else block


BLOCK = 768
"""Rows of a matrix handled at a time beside the matrix itself."""


def blocks(n: int) -> int:
    """The number of blocks in the inversion of a matrix of n rows."""
    return -(-n // BLOCK)


def negative_inverse_(matrix: Matrix, l2: float, progress_bar: Any) -> None:
    """Replaces a symmetric positive definite matrix by minus its inverse, in its own memory.

    In memory by `_sweep`, on a GPU by Cholesky. Raises ConfigError, which names l2, when the matrix
    is not positive definite.
    """
    if isinstance(matrix, np.ndarray):
        _sweep(matrix, l2, progress_bar)
        return
    cholesky_inverse(matrix, l2).neg_()
    progress_bar.update(blocks(len(matrix)))


def cholesky_inverse(matrix: Tensor, l2: float) -> Tensor:
    """The inverse of a symmetric positive definite matrix, (n, n), which is overwritten by it.

    On any device. A GPU takes the memory of a second such matrix meanwhile. Raises ConfigError.
    """
    factor = matrix.mT  # the same numbers, in the order of LAPACK, so that nothing is copied
    info = torch.zeros((), dtype=torch.int32, device=matrix.device)
    torch.linalg.cholesky_ex(factor, out=(factor, info))
    if not ((info == 0) & factor.diagonal().isfinite().all()).item():  # of NaN, info may be 0
        raise _not_positive_definite(l2)
    return torch.cholesky_inverse(factor, out=factor).mT


def _sweep(gram: np.ndarray, l2: float, progress_bar: Any) -> None:
    """The inversion on the CPU, in the memory of one matrix and of some 4 x BLOCK rows.

    Sweeps one block of rows after the other (Goodnight, "A Tutorial on the SWEEP Operator", The
    American Statistician 1979). With P = A_kk^-1, sweeping block k turns A_ij into A_ij - A_ik P
    A_kj, A_ik into A_ik P, and A_kk into -P. Of the symmetric matrix only the upper triangle of
    blocks is kept up. So it costs rows^3 operations (multiplications and additions), as Cholesky
    and the inverse of the factor do, nearly all in products of blocks, where a general inverse
    costs 2 rows^3. (The LAPACK that scipy ships crashed on 40,981 items.)
    """
    whole, n = torch.from_numpy(gram), len(gram)
    bounds = [slice(low, min(low + BLOCK, n)) for low in range(0, n, BLOCK)]
    for k, here in enumerate(bounds):
        pivot = _inverse(whole[here, here], l2)
        symmetric, columns, scaled = operand(pivot), [], []  # P, and A_ik and A_ik P for every i
        for i, rows in enumerate(bounds):
            block = whole[rows, here] if i <= k else whole[here, rows].mT
            columns.append(operand(block))
            scaled.append(product(columns[i], symmetric))
            block.copy_(plain(scaled[i]))
        whole[here, here] = pivot.neg_()
        for i, rows in enumerate(bounds):
            for j, others in enumerate(bounds[i:], start=i):
                if k not in (i, j):
                    whole[rows, others].sub_(plain(product(scaled[i], columns[j])))
        progress_bar.update()
    for i, rows in enumerate(bounds):
        for others in bounds[:i]:
            whole[rows, others] = whole[others, rows].mT


def _inverse(block: Tensor, l2: float) -> Tensor:
    """The inverse of one symmetric positive definite block, through Cholesky in float64."""
    numbers = block.numpy()
    try:
        factor = np.linalg.cholesky(numbers.astype(np.float64))
        half = scipy.linalg.solve_triangular(factor, np.eye(len(block)), lower=True)
    except (np.linalg.LinAlgError, ValueError):  # ValueError: not finite
        raise _not_positive_definite(l2) from None
    return torch.from_numpy((half.T @ half).astype(numbers.dtype))


def _not_positive_definite(l2: float) -> ConfigError:
    return ConfigError(
        f"the matrix to be inverted is not positive definite at l2={l2}: raise l2 or relative_l2"
    )


def to_float32(matrix: Matrix) -> Tensor:
    """The matrix in memory and in float32. One in memory is written over its own first half, and
    the second half is freed."""
    if isinstance(matrix, Tensor):
        return fetched(matrix)
    if matrix.dtype == np.float32:
        return torch.from_numpy(matrix)
    n = len(matrix)
    flat = matrix.reshape(-1)
    halves = flat.view(np.float32)[: n * n].reshape(n, n)
    for start in range(0, n, BLOCK):  # a row lands before where any later row still stands
        halves[start : start + BLOCK] = matrix[start : start + BLOCK].astype(np.float32)
    del flat, halves  # views into memory that the next line may move
    matrix.resize((n * n + 1) // 2, refcheck=False)
    return torch.from_numpy(matrix.view(np.float32)[: n * n].reshape(n, n))


COLUMNS = 128
"""Columns of the result made at a time: few enough for the cache, enough for a sparse product."""


def _gram(
    blocks: Iterable[Any],
    n: int,
    dtype: np.dtype[Any],
    device: torch.device,
    ranks: Ranks | None,
) -> Matrix | None:
    """X'X on a device. Several processes share it on the CPU; None for all but process 0."""
    if device.type == "cpu" or ranks is not None:
        gram = gram_matrix(blocks, n, dtype, ranks)
        on_cpu = gram is None or device.type == "cpu"
        return gram if on_cpu else torch.from_numpy(gram).to(device)
    return gram_on_gpu(blocks, n, dtype, device)


def over_items(
    rows: Rows,
    ridge: np.ndarray,
    dtype: np.dtype[Any],
    l2: float,
    progress_bar: Any,
    device: torch.device,
    ranks: Ranks | None = None,
) -> tuple[Matrix, np.ndarray] | None:
    """-P, (n_items, n_items) in the dtype, and the diagonal of P = (X'X + diag(r))^-1.

    rows: X; ridge: r, (n_items,) float64, above zero. device: where -P is computed, and stays.
    ranks: processes that share X'X; process 0 inverts it, and the others get None. Costs items^3
    operations. Raises ConfigError when rounding leaves no positive definite matrix.
    """
    gram = _gram(rows, len(ridge), dtype, device, ranks)
    if gram is None:
        return None
    shared = torch.as_tensor(gram)
    diagonal = shared.diagonal().cpu().numpy()
    if not np.isfinite(diagonal).all():
        raise ConfigError(
            f"X'X overflows {dtype} (l2={l2} does not matter): scale the weights of the "
            "interactions, set weight_transform='log1p', or leave precision at 'auto'"
        )
    with np.errstate(over="ignore"):
        diagonal = (diagonal + ridge).astype(dtype)
    if not np.isfinite(diagonal).all():
        raise ConfigError(
            f"X'X + l2 I overflows {dtype} at l2={l2}: lower l2", parameter="l2", value=l2
        )
    shared.diagonal().copy_(sent(torch.from_numpy(diagonal), device))
    negative_inverse_(gram, l2, progress_bar)
    return gram, -shared.diagonal().cpu().numpy()


def over_users(
    rows: Rows,
    ridge: np.ndarray,
    l2: float,
    progress_bar: Any,
    device: torch.device,
    ranks: Ranks | None = None,
) -> tuple[Matrix, np.ndarray] | None:
    """The same through the users: -P in memory, in float32, and the diagonal of P in float64.

    With R = diag(r) and Y = X R^-1/2, P = R^-1/2 (I - Y' (I + YY')^-1 Y) R^-1/2 (Woodbury 1950).
    Costs users^3 operations and interactions x (users + items / 2) for the products, which are
    sparse; one user-user matrix in float64 beside the result. The subtraction in the brackets
    cancels digits where an item has many users. In float32 the errors of scores were up to a
    hundred times those of the inverse over items. So the computation is in float64 and only its
    result is in float32.
    """
    n, roots = len(ridge), ridge**-0.5
    matrix = sp.vstack(list(rows), format="csr")
    items = sp.csr_matrix((matrix.astype(np.float64) @ sp.diags(roots)).T)  # Y': (n_items, n_users)
    system = _gram([items], items.shape[1], np.dtype(np.float64), device, ranks)
    if system is None:
        return None
    torch.as_tensor(system).diagonal().add_(1)
    negative_inverse_(system, l2, progress_bar)
    there = on_gpu(items, device) if isinstance(system, Tensor) else None
    scales = sent(torch.from_numpy(roots), device)

    def below(start: int, stop: int) -> Tensor:
        """Columns of Y' (I + YY')^-1 Y, negative, from the diagonal down: (n - start, columns)."""
        if there is None:
            solved = (items[start:stop] @ system).T  # (n_users, columns)
            return torch.from_numpy(items[start:] @ np.ascontiguousarray(solved))
        table = bag(torch.as_tensor(system), some_of(there, start, stop)).mT.contiguous()
        return bag(table, some_of(there, start, n))

    found = np.empty((n, n), np.float32)  # by numpy, which asks for huge pages
    inverse, diagonal = torch.from_numpy(found), torch.empty_like(scales)
    for start in range(0, n, COLUMNS):
        stop = min(start + COLUMNS, n)
        part = below(start, stop)
        part.diagonal().add_(1)
        part.mul_(scales[start:stop]).mul_(-scales[start:, None])
        diagonal[start:stop] = -part.diagonal()
        part = part.float().cpu()
        inverse[start:, start:stop] = part
        inverse[start:stop, stop:] = part[stop - start :].T
    progress_bar.update()
    return found, diagonal.cpu().numpy()
