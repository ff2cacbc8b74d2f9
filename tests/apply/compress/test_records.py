"""Records of items: exact there and back, and as long as arithmetic says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.apply.compress.embeddings import Layout


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    units = draw(st.integers(1, 300))
    return Layout(
        units=units,
        active=draw(st.integers(1, units)),
        value_bits=draw(st.integers(1, 12)),
        dense=draw(st.integers(0, 5)),
        biased=draw(st.booleans()),
    )


@settings(max_examples=150, deadline=None)
@given(layouts(), st.integers(1, 9), st.integers(0, 2**31))
def test_what_is_packed_comes_back(layout: Layout, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    support = np.argsort(rng.random((n, layout.units)), axis=1)[:, : layout.active]
    support.sort(axis=1)
    places = rng.integers(0, 2**layout.value_bits, support.shape)
    dense = rng.integers(0, 256, (n, layout.dense)).astype(np.uint8)
    scales, biases = rng.random((2, n), dtype=np.float32)
    records = layout.pack(scales, biases, dense, support, places)
    assert records.shape == (n, layout.size) and records.dtype == np.uint8
    found = layout.unpack(records)
    np.testing.assert_array_equal(found[0], scales.astype(np.float16))
    np.testing.assert_array_equal(found[1], biases.astype(np.float16) * layout.biased)
    for got, given_ in zip(found[2:], (dense, support, places), strict=True):
        np.testing.assert_array_equal(got, given_)


def test_a_record_is_as_long_as_it_should_be() -> None:
    # 48 of 1,024 units: 4 low bits each, and in unary 48 ones among 1,024 / 16 = 64 zeros.
    layout = Layout(units=1024, active=48, value_bits=4, dense=3, biased=True)
    assert layout.bits == 48 * 4 + (48 + 64) + 48 * 4 == 496
    assert layout.size == 2 + 2 + 3 + 62


@pytest.mark.parametrize(("units", "active"), [(64, 3), (1024, 48), (4096, 32), (512, 300)])
def test_the_units_take_little_more_than_the_logarithm_of_their_sets(
    units: int, active: int
) -> None:
    bits = Layout(units, active, 0).bits
    least = math.log2(math.comb(units, active))
    assert least <= bits <= least + active + 2  # Elias (1974): within a bit or so for each


@given(st.integers(2, 2000), st.integers(1, 12), st.integers(8, 400))
def test_a_record_is_filled_and_not_overfilled(units: int, bits: int, size: int) -> None:
    empty = Layout(units, 1, bits)
    full = empty.filled(size, units)
    if full is None:
        assert empty.size > size
        return
    assert full.size <= size
    if full.active < units:
        assert Layout(units, full.active + 1, bits).size > size


def test_what_is_no_record_is_refused() -> None:
    layout = Layout(units=10, active=2, value_bits=1)
    with pytest.raises(ValueError, match="many units"):
        layout.unpack(np.zeros((1, layout.size), dtype=np.uint8))
