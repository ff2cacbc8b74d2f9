"""Laws and references for `recae.ranking`."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from recae.errors import ConfigError, DataError
from recae.ranking import top_k as ranking
from recae.ranking.top_k import TopK, top_k

INFINITE = float("inf")
FEW_VALUES = st.sampled_from([-INFINITE, -2.0, -0.0, 0.0, 0.5, 1.0])  # nearly everything ties
ANY_VALUE = st.floats(width=32, allow_nan=False, max_value=2.0**100)  # includes -inf and subnormals


def reference(scores, k, excluded=frozenset(), allowed=None):
    """The slow and obvious version: sort every row completely."""
    items, values = [], []
    for row, line in enumerate(scores):
        left = [
            column
            for column in range(len(line))
            if line[column] > -INFINITE
            and (row, column) not in excluded
            and (allowed is None or allowed[column])
        ]
        best = sorted(left, key=lambda column: (-line[column], column))[:k]
        items.append(best + [-1] * (k - len(best)))
        values.append([line[column] for column in best] + [-INFINITE] * (k - len(best)))
    shape = (len(scores), k)
    return np.array(items).reshape(shape), np.array(values, dtype=np.float32).reshape(shape)


def assert_equal(top, items, scores):
    np.testing.assert_array_equal(top.items, items)
    np.testing.assert_array_equal(top.scores, scores)
    assert top.items.dtype == np.int32 and top.scores.dtype == np.float32


@st.composite
def cases(draw):
    rows, n_items = draw(st.integers(0, 5)), draw(st.integers(0, 12))
    value = draw(st.sampled_from([FEW_VALUES, ANY_VALUE]))
    line = st.lists(value, min_size=n_items, max_size=n_items)
    scores = draw(st.lists(line, min_size=rows, max_size=rows))
    cells = [(row, column) for row in range(rows) for column in range(n_items)]
    excluded = draw(st.sets(st.sampled_from(cells))) if cells else set()
    allowed = draw(st.none() | st.lists(st.booleans(), min_size=n_items, max_size=n_items))
    return scores, draw(st.integers(1, 15)), excluded, allowed, n_items


@given(cases(), st.sampled_from(["csr", "arrays", "tensors"]), st.booleans())
def test_equals_a_complete_sort(case, form, overwrite) -> None:
    scores, k, excluded, allowed, n_items = case
    tensor = torch.tensor(scores, dtype=torch.float32).reshape(len(scores), n_items)
    rows = np.array([row for row, _ in excluded], dtype=np.int64)
    columns = np.array([column for _, column in excluded], dtype=np.int64)
    exclude = {
        "csr": sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=tensor.shape),
        "arrays": (rows, columns),
        "tensors": (torch.from_numpy(rows), torch.from_numpy(columns)),
    }[form]
    mask = None if allowed is None else np.array(allowed, dtype=bool)
    before = tensor.clone()
    top = top_k(tensor, k, exclude=exclude, allowed=mask, overwrite=overwrite)
    assert_equal(top, *reference(scores, k, excluded, allowed))
    assert overwrite or torch.equal(tensor, before)


@pytest.mark.parametrize("levels", [1, 2, 40])
def test_equals_a_complete_sort_on_long_rows_with_heavy_ties(levels, monkeypatch) -> None:
    # Long enough for torch's other algorithm, and more tied rows than are redone together.
    monkeypatch.setattr(ranking, "CELLS", 3 * 2000)
    scores = np.random.default_rng(levels).integers(levels, size=(10, 2000)).astype(np.float32)
    for k in (1, 7, 1999, 2000):
        assert_equal(top_k(torch.from_numpy(scores), k), *reference(scores.tolist(), k))


@given(cases(), st.randoms(use_true_random=False))
def test_a_row_does_not_depend_on_its_batch(case, random) -> None:
    scores, k, _, _, n_items = case
    tensor = torch.tensor(scores, dtype=torch.float32).reshape(len(scores), n_items)
    together = top_k(tensor, k)
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled = top_k(tensor[order], k)
    assert_equal(shuffled, together.items[order], together.scores[order])
    if order:
        alone = TopK.concatenate([top_k(tensor[row : row + 1], k) for row in order])
        assert_equal(alone, shuffled.items, shuffled.scores)


def test_order_of_ties_written_out() -> None:
    scores = torch.tensor([[1.0, 3.0, 1.0, 3.0, 1.0], [0.0, -0.0, 0.0, -0.0, -1.0]])
    top = top_k(scores, 3)
    assert top.items.tolist() == [[1, 3, 0], [0, 1, 2]]
    assert top.scores.tolist() == [[3.0, 3.0, 1.0], [0.0, 0.0, 0.0]]
    assert not np.signbit(top.scores[1]).any()


def test_fewer_than_k_left_is_padded() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0], [-INFINITE, 5.0, -INFINITE]])
    top = top_k(scores, 4, exclude=([0], [1]))
    assert top.items.tolist() == [[2, 0, -1, -1], [1, -1, -1, -1]]
    assert top.scores.tolist() == [
        [3.0, 1.0, -INFINITE, -INFINITE],
        [5.0, -INFINITE, -INFINITE, -INFINITE],
    ]
    assert top_k(scores, 1, allowed=torch.zeros(3, dtype=torch.bool)).items.tolist() == [[-1], [-1]]


def test_stored_zeros_exclude_nothing_and_repeats_are_fine() -> None:
    scores = torch.tensor([[1.0, 2.0]])
    zero = sp.csr_matrix((np.array([0.0]), ([0], [1])), shape=(1, 2))
    assert zero.nnz == 1
    assert top_k(scores, 1, exclude=zero).items.tolist() == [[1]]
    assert top_k(scores, 1, exclude=([0, 0], [1, 1])).items.tolist() == [[0]]
    assert top_k(scores, 1, exclude=([], [])).items.tolist() == [[1]]
    unsigned = (np.array([0], dtype=np.uint32), np.array([1], dtype=np.uint8))
    assert top_k(scores, 1, exclude=unsigned).items.tolist() == [[0]]


def test_read_only_arrays_are_welcome() -> None:
    zero, allowed = np.zeros(1, dtype=np.int64), np.ones(2, dtype=bool)
    zero.flags.writeable = allowed.flags.writeable = False
    scores = torch.tensor([[2.0, 1.0]])
    assert top_k(scores, 1, exclude=(zero, zero), allowed=allowed).items.tolist() == [[1]]


def test_scores_are_overwritten_only_on_request() -> None:
    scores = torch.tensor([[1.0, 2.0]])
    top_k(scores, 1, exclude=([0], [1]), allowed=np.array([True, True]))
    assert scores.tolist() == [[1.0, 2.0]]
    top_k(scores, 1, exclude=([0], [1]), overwrite=True)
    assert scores.tolist() == [[1.0, -INFINITE]]


@pytest.mark.parametrize("overwrite", [False, True])
def test_takes_scores_of_any_layout_and_origin(overwrite) -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    with torch.inference_mode():
        inference = values.clone()
    needs_gradient = values.clone().requires_grad_()
    for scores in (inference, needs_gradient, needs_gradient * 1, values.T.contiguous().T):
        top = top_k(scores, 2, exclude=([0], [2]), overwrite=overwrite)
        assert top.items.tolist() == [[1, 0], [0, 1]]
    one_row_twice = values[:1].expand(2, 3)
    top = top_k(one_row_twice, 1, exclude=([0], [2]), overwrite=overwrite)
    assert top.items.tolist() == [[1], [2]]


@pytest.mark.parametrize("culprit, word", [(float("nan"), "NaN"), (INFINITE, r"\+inf")])
def test_numbers_that_cannot_be_ranked(culprit, word) -> None:
    scores = torch.zeros(4, 300)
    scores[2, 7] = scores[3, 8] = culprit
    message = rf"scores contain {word} in row 2, column 7 \(NaN or \+inf in 2 of 4 rows\)"
    for k in (1, 5, 300, 400):
        with pytest.raises(DataError, match=message):
            top_k(scores, k)
    hidden = top_k(scores, 1, exclude=([2, 3], [7, 8]))  # what cannot surface does no harm
    assert hidden.items.tolist() == [[0]] * 4
    columns = torch.ones(300, dtype=torch.bool)
    columns[[7, 8]] = False
    assert top_k(scores, 1, allowed=columns).items.tolist() == [[0]] * 4


@pytest.mark.parametrize("k", [0, -1, 1.0, "3", None, True])
def test_bad_k(k) -> None:
    with pytest.raises(ConfigError, match="k .*>= 1"):
        top_k(torch.zeros(1, 3), k)


def test_numpy_integers_are_integers() -> None:
    assert top_k(torch.zeros(1, 3), np.int64(2)).items.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"exclude": sp.csr_array((2, 4))}, r"exclude .*\(2, 4\).* \(2, 3\)"),
        ({"exclude": ([0, 5, 9], [0, 0, 0])}, r"2 rows .* 0\.\.1.* 5"),
        ({"exclude": ([0, 1], [0, -1])}, r"1 columns .* 0\.\.2.* -1"),
        ({"exclude": ([0, 1], [0])}, r"found \(2,\) and \(1,\)"),
        ({"exclude": ([0.0], [0.0])}, "integer rows, not torch.float64"),
        ({"exclude": (np.array([0]), np.array([True]))}, "integer columns, not torch.bool"),
        ({"exclude": np.zeros((3, 3), dtype=int)}, "pair"),
        ({"allowed": np.ones(2, dtype=bool)}, r"allowed .*\(3,\) bool.*\(2,\)"),
        ({"allowed": [0, 1, 2]}, "found .* torch.int64"),
    ],
)
def test_options_that_do_not_fit(options, message) -> None:
    with pytest.raises(DataError, match=message):
        top_k(torch.zeros(2, 3), 1, **options)


@pytest.mark.parametrize("scores", [torch.zeros(3), torch.zeros(2, 3, dtype=torch.float64)])
def test_scores_of_the_wrong_kind(scores) -> None:
    with pytest.raises(DataError, match="float32 tensor; found"):
        top_k(scores, 1)


def test_top_k_is_checked_and_joined() -> None:
    one = TopK(np.array([[1, 2]]), np.array([[2.0, 1.0]], dtype=np.float32))
    two = TopK(np.array([[0, -1], [5, 6]]), np.zeros((2, 2), dtype=np.float32))
    joined = TopK.concatenate([one, two])
    assert len(joined) == 3
    assert joined.items.tolist() == [[1, 2], [0, -1], [5, 6]]
    other = TopK(np.array([[1]]), np.zeros((1, 1), dtype=np.float32))
    with pytest.raises(DataError, match=r"k = \[1, 2\]"):
        TopK.concatenate([one, other])
    with pytest.raises(DataError, match="found none"):
        TopK.concatenate([])
    with pytest.raises(DataError, match=r"\(1, 2\) and \(1, 1\)"):
        TopK(one.items, other.scores)
    with pytest.raises(DataError, match="integer columns, not float64"):
        TopK(np.zeros((1, 1)), np.zeros((1, 1), dtype=np.float32))


def test_global_state_is_left_alone() -> None:
    grad, generator = torch.is_grad_enabled(), torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        top_k(torch.zeros(3, 5), 2, exclude=([0], [0]))
    assert torch.is_grad_enabled() == grad and not torch.is_inference_mode_enabled()
    assert torch.equal(torch.random.get_rng_state(), generator)
