"""Brings columns of pandas and Arrow into few types: numpy, nullable integers, text and objects."""

from __future__ import annotations

import uuid
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recae.errors import DataError

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


def is_arrow(column: Any) -> bool:
    """Whether a column is one of Arrow, or one of pandas in Arrow storage other than its text."""
    return isinstance(column, pa.Array | pa.ChunkedArray) or isinstance(
        getattr(column, "dtype", None), pd.ArrowDtype
    )


def plain(column: Any) -> pa.Array:
    """An Arrow column (see `is_arrow`) as one array of a plain type: of a UUID the 16 bytes, no
    views, no runs. Dictionaries and decimals stay."""
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        column = getattr(column, "array", column).__arrow_array__()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunk, in older releases
        column = pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)
    if isinstance(column, pa.ExtensionArray):
        column = pa.array(column.to_pylist()) if _holds_booleans(column) else column.storage
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if str(column.type) == "string_view":
        column = column.cast(pa.large_string())
    if pa.types.is_dictionary(column.type) and str(column.type.value_type) == "string_view":
        texts = column.dictionary.cast(pa.large_string())  # Arrow cannot take from views
        column = pa.DictionaryArray.from_arrays(column.indices, texts, ordered=column.type.ordered)
    return column


def _holds_booleans(column: pa.ExtensionArray) -> bool:
    """Whether it is of the type `arrow.bool8`, whose storage are integers."""
    return getattr(column.type, "extension_name", "") == "arrow.bool8"


def check_utf8(texts: pa.Array) -> None:
    """Raises DataError that names the first text which is not UTF-8. For what could not be read:
    it is slow."""
    if pa.types.is_dictionary(texts.type):
        texts = texts.dictionary
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return
    for raw in texts.cast(pa.large_binary()).to_pylist():
        try:
            (raw or b"").decode()
        except UnicodeDecodeError:
            raise DataError(
                f"text must be UTF-8, and {raw!r} is not; correct how it was written"
            ) from None


def row_bytes(column: Any) -> int:
    """Bytes of a row of a column without its dictionary, on average, rounded up."""
    if not isinstance(column, pa.Array) or not len(column):
        return 0
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return -(-int(column.nbytes) // len(column))


def for_pandas(column: Any) -> Any:
    """Arrow columns as pandas ones; 16 bytes are taken for a UUID, and a decimal for a float."""
    if not isinstance(column, pa.Array):
        return column
    if str(column.type) == "fixed_size_binary[16]":
        ids = [None if value is None else uuid.UUID(bytes=value) for value in column.to_pylist()]
        return pd.Series(ids, dtype=object)
    if pa.types.is_decimal(column.type):
        column = whole(column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    try:
        return column.to_pandas()
    except pa.ArrowException as error:
        check_utf8(column)
        raise DataError(f"a column of {column.type} cannot be read: {error}") from None


def whole(decimals: pa.Array) -> pa.Array:
    """A column of decimals as int64, if its type has no digits behind the point and all fit; else
    as it is."""
    try:
        return decimals.cast(pa.int64()) if decimals.type.scale <= 0 else decimals
    except pa.ArrowInvalid:
        return decimals


def series(column: Any) -> pd.Series[Any]:
    """A column of numbers or times as a Series with the index 0..n-1, without categories and
    Arrow storage.

    Integers with missing values are nullable integers, not floats, which would round them; dates
    are datetime64; decimals are integers where their type has no digits behind the point, else
    floats.
    """
    if is_arrow(column):
        array = plain(column)
        if pa.types.is_dictionary(array.type):
            array = plain(array.dictionary_decode())
        if pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("s" if pa.types.is_date32(array.type) else "ms"))
        if pa.types.is_decimal(array.type):
            array = whole(array)
        if pa.types.is_integer(array.type) and array.null_count:
            nullable: pd.Series[Any] = array.to_pandas(types_mapper=_NULLABLE.get)
            return nullable
        return pd.Series(for_pandas(array))
    values = pd.Series(column).reset_index(drop=True)
    if isinstance(values.dtype, pd.CategoricalDtype):
        kind = values.cat.categories.dtype
        values = values.astype(object if values.hasnans and kind.kind in "iu" else kind)
    return values
