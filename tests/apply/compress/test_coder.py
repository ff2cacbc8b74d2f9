"""The entropy coder: exact, near what information theory allows, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.apply.compress.coding import PRECISION, Coder, Tables, integer_counts
from recae.apply.compress.learning import entropy, find_step, whole_bytes


def tables(weights: list[list[float]]) -> Tables:
    counts = [integer_counts(np.array(each)) for each in weights]
    sizes = np.array([len(each) for each in counts])
    return Tables(np.arange(len(counts)) - 3, sizes, np.concatenate(counts))


WEIGHTS = st.lists(
    st.lists(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 1e5]), min_size=2, max_size=9).filter(any),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(weights=WEIGHTS, data=st.data())
def test_what_is_coded_comes_back_alone_and_together(
    weights: list[list[float]], data: st.DataObject
) -> None:
    made = tables(weights)
    assert made.problem() is None
    coder = Coder(made)
    row = st.tuples(*(st.integers(0, len(each) - 1) for each in weights))
    drawn = data.draw(st.lists(row, min_size=1, max_size=5))
    symbols = np.array(drawn, dtype=np.int32).reshape(len(drawn), -1)
    for each, bits in zip(symbols, made.bits(symbols), strict=True):
        content = coder.encode_row(each)
        assert np.array_equal(coder.decode_row(content), each)
        assert len(content) <= bits / 8 + 1.01
    together = coder.encode_columns(symbols)
    assert np.array_equal(coder.decode_columns(together, len(symbols)), symbols)


def test_bits_are_minus_the_logarithm_of_the_probability() -> None:
    made = tables([[1, 1, 2], [3, 1]])  # 1/4, 1/4, 1/2 and 3/4, 1/4
    symbols = made.symbols(np.array([[-3, -2], [-1, -1], [-2, -2]]))
    assert symbols.tolist() == [[0, 0], [2, 1], [1, 0]]
    expected = -np.log2([1 / 4 * 3 / 4, 1 / 2 * 1 / 4, 1 / 4 * 3 / 4])
    np.testing.assert_allclose(made.bits(symbols), expected, atol=1e-5)


def test_the_coder_uses_the_counts_to_the_last_bit() -> None:
    # 4,000 symbols of probability 5 / 2^24 each: a count of 4 or 6 would take 160 bytes more or
    # 130 less than the arithmetic says.
    counts = np.array([5, 2**PRECISION - 5])
    made = Tables(np.zeros(1, np.int64), np.array([2]), counts)
    symbols = np.zeros((4000, 1), np.int32)
    ideal = 4000 * (PRECISION - np.log2(5)) / 8
    assert abs(len(Coder(made).encode_columns(symbols)) - ideal) < 10


def test_lengths_are_near_the_entropy() -> None:
    rng = np.random.default_rng(0)
    weights = [list(np.exp(-np.abs(np.arange(-6, 7)) * s)) for s in np.linspace(0.3, 4, 40)]
    made = tables(weights)
    columns = [rng.choice(13, 3000, p=np.array(each) / sum(each)) for each in weights]
    symbols = np.stack(columns, 1).astype(np.int32)
    coder, bits = Coder(made), made.bits(symbols)
    assert len(coder.encode_columns(symbols)) <= bits.sum() / 8 * 1.001 + 8
    lengths = np.array([len(coder.encode_row(each)) for each in symbols[:500]])
    assert lengths.mean() == pytest.approx(whole_bytes(bits[:500]).mean(), abs=0.05)


def test_the_same_code_becomes_the_same_bytes_with_every_constriction() -> None:
    # Worked out by hand: the interval is halved by every symbol of probability 1/2, so that the
    # bytes are the symbols themselves, and the fewest zeros are left at the end.
    halves = tables([[1, 1]] * 20)
    bits = "1010_1100_0101_0011_1000".replace("_", "")
    symbols = np.array([int(bit) for bit in bits], np.int32)
    assert Coder(halves).encode_row(symbols) == bytes([0b10101100, 0b01010011, 0b10000000])
    assert Coder(halves).encode_row(np.zeros(20, np.int32)) == b""


def test_entropy_is_that_of_the_frequencies() -> None:
    numbers = np.array([[0, 7], [0, 9], [5, 7], [5, 7]])
    expected = 1 + (-0.75 * np.log2(0.75) - 0.25 * np.log2(0.25))
    assert entropy(numbers) == pytest.approx(expected)


def test_a_step_is_found() -> None:
    assert find_step(lambda step: 10 / step, 4.0, 1.0) == pytest.approx(2.5)


def test_tables_hold_what_was_seen_beside_what_was_expected() -> None:
    numbers = np.array([[4], [4], [5], [99]])  # the last lies outside
    made = Tables.of(numbers, np.array([3]), [np.array([1.0, 1.0, 1.0])])
    share = made.table(0) / 2**PRECISION
    np.testing.assert_allclose(share, [1 / 6, 3 / 6, 2 / 6], atol=1e-6)
    assert made.symbols(np.array([[99], [-99]])).tolist() == [[2], [0]]


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([1], [2**PRECISION]),
        ([2], [2**PRECISION]),
        ([2], [0, 2**PRECISION]),
        ([2], [1, 2**PRECISION]),
        ([0], []),
    ],
)
def test_tables_that_are_none_are_found(sizes: list[int], counts: list[int]) -> None:
    made = Tables(np.zeros(1, np.int64), np.array(sizes), np.array(counts, np.int64))
    assert made.problem() is not None
