"""The best cells of blocks of columns, against a full sort."""

import numpy as np
import pytest
import torch

from recae.errors import DataError
from recae.ranking import top_k as module
from recae.ranking.top_k import GROUP, RunningTopK

INFINITE = float("inf")


def full_sort(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and scores, by score descending and then by column; -1 and -inf where nothing is."""
    items = np.full((len(scores), k), -1, dtype=np.int32)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for row, line in enumerate(scores):
        order = np.lexsort((np.arange(len(line)), -line))[:k]
        order = order[line[order] > -np.inf]
        items[row, : len(order)], values[row, : len(order)] = order, line[order]
    return items, values


def listed(running: RunningTopK) -> tuple[np.ndarray, np.ndarray]:
    top = running.lists()
    return top.items, top.scores


def cut(n: int, rng: np.random.Generator, pieces: int) -> list[slice]:
    ends = np.sort(rng.integers(0, n + 1, pieces - 1)) if pieces > 1 else []
    ends = [0, *(int(end) for end in ends), n]
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def drawn(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """Scores with few or many ties, some rows of them without most of their cells."""
    levels = int(rng.choice([1, 2, 5, 50, 0]))
    if levels:
        scores = rng.integers(-levels, levels + 1, (rows, n)).astype(np.float32)
        scores[rng.random((rows, n)) < 0.1] = -0.0
    else:
        scores = rng.standard_normal((rows, n)).astype(np.float32)
    share = rng.choice([0.0, 0.3, 0.99, 1.0], rows, p=[0.5, 0.2, 0.2, 0.1])
    scores[rng.random((rows, n)) < share[:, None]] = -np.inf
    return scores


@pytest.mark.parametrize("seed", range(60))
def test_equals_a_full_sort_however_the_columns_are_cut(seed, monkeypatch) -> None:
    rng = np.random.default_rng(seed)
    rows, k = int(rng.integers(1, 9)), int(rng.choice([1, 2, 5, 10, 300]))
    n = int(rng.choice([1, 5, 4 * GROUP, 8 * GROUP**2 + 1, 700, 9 * GROUP * k + 7, 5_003]))
    n = min(n, 60_000)
    scores = drawn(rng, rows, n)
    if seed % 2 == 0:
        monkeypatch.setattr(module, "SMALL", 0)  # groups
    if seed % 3 == 0:
        monkeypatch.setattr(module, "CROWD", int(rng.integers(1, 200)))  # rows are split
    running = RunningTopK(rows, k)
    for columns in cut(n, rng, int(rng.integers(1, 5))):
        running.add(torch.from_numpy(scores[:, columns]), columns.start)
    items, values = listed(running)
    expected_items, expected_values = full_sort(scores, k)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(values, expected_values)
    assert items.dtype == np.int32 and values.dtype == np.float32
    assert not np.signbit(values[values == 0]).any()


def test_keys_keep_the_order_of_every_kind_of_number() -> None:
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    ascending = [-huge, -1.0, -1e-30, -tiny, 0.0, tiny, 1e-30, 1.0, np.nextafter(huge, tiny), huge]
    scores = np.array([ascending], dtype=np.float32)
    running = RunningTopK(1, 12)
    running.add(torch.from_numpy(scores))
    items, values = listed(running)
    assert items[0].tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1]
    np.testing.assert_array_equal(values[0, :10], scores[0, ::-1])


@pytest.mark.parametrize("n", [7, 3 * GROUP, 3 * GROUP + 5])
@pytest.mark.parametrize("culprit, word", [(np.nan, "NaN"), (np.inf, r"\+inf")])
def test_numbers_that_cannot_be_ranked_are_named(n, culprit, word) -> None:
    scores = torch.zeros(3, n)
    scores[1, n - 1] = scores[2, 0] = culprit
    message = rf"{word} in row 21, column {100 + n - 1} \(NaN or \+inf in 2 of 3 rows\)"
    with pytest.raises(DataError, match=message):
        RunningTopK(3, 1, first_row=20).add(scores, 100)


def test_no_rows_and_no_columns() -> None:
    for rows, n in ((0, 5), (2, 0), (0, 0)):
        running = RunningTopK(rows, 3)
        running.add(torch.zeros(rows, n))
        items, values = listed(running)
        assert items.tolist() == [[-1] * 3] * rows and values.tolist() == [[-INFINITE] * 3] * rows


def test_one_row_of_ties_does_not_widen_the_others(monkeypatch) -> None:
    scores = torch.rand(256, 8192, generator=torch.Generator().manual_seed(0))
    scores[100] = 0.5
    widths = []
    plain = np.full
    monkeypatch.setattr(
        np, "full", lambda shape, *fill: widths.append(np.prod(shape)) or plain(shape, *fill)
    )
    monkeypatch.setattr(module, "CROWD", 1 << 16)
    running = RunningTopK(256, 10)
    running.add(scores)
    assert listed(running)[0][100].tolist() == list(range(10))
    assert max(widths) <= (1 << 16) + 256 * 10  # without halving it is 256 x 8192
