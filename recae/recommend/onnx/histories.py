"""Histories in an ONNX graph: entries in the order of a CSR, their weights, and products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recae.data.weighting import K1, B
from recae.recommend.onnx.graph import (
    Graph,
    Value,
    added,
    apply,
    apply_many,
    full,
    joined,
    loop,
    owners,
    where,
)

CELLS = 1 << 24
"""Numbers of a table that are gathered at once: 64 MiB."""


@dataclass(frozen=True)
class Histories:
    """Entries of histories, ascending by row and item, each item at most once a row.

    row, item: (entries,) int64; offsets: (rows + 1,) int64, where rows begin and end; values:
    (entries,) float32, at first ones. place: (entries,) int64, of each entry in the input. ones:
    whether all values are 1.
    """

    graph: Graph
    n_items: int
    row: Value
    item: Value
    offsets: Value
    values: Value
    place: Value
    ones: bool = True

    @classmethod
    def read(cls, graph: Graph, n_items: int) -> Histories:
        """The inputs `items` and `offsets`: row r is items[offsets[r]:offsets[r + 1]].

        Numbers outside 0..n_items-1 are unknown items or the padding of equally long rows, and are
        left out. An item that comes twice counts once, with its last weight.
        """
        items = graph.input("items", "int64", ["entries"])
        offsets = graph.input("offsets", "int64", ["rows_and_one"])
        rows, entries = offsets.size - 1, items.size
        row = owners(offsets, entries)
        inside = (row.below(rows)) & apply("Greater", row, -1, dtype="bool")
        known = items.below(n_items) & apply("Greater", items, -1, dtype="bool") & inside
        place = apply("Range", 0, apply("Squeeze", entries), 1)
        # From the last to the first, because the first of equal keys is kept.
        place = apply("Slice", apply("Compress", place, known, axis=0), [-1], [-(2**62)], [0], [-1])
        keys = (row * n_items + items)[place]
        cells, first = apply_many("Unique", keys, dtypes=["int64", "int64"], sorted=1)
        row = cells / n_items
        ones = full(items, [cells.size], 1, "int64")
        lengths = added(full(items, [rows], 0, "int64"), row, ones)
        return cls(
            graph,
            n_items,
            row,
            cells - row * n_items,
            joined([0], apply("CumSum", lengths, 0)),
            full(items, [cells.size], 1, "float32"),
            place[first],
        )

    @property
    def rows(self) -> Value:
        """The number of rows, (1,) int64."""
        return self.offsets.size - 1

    @property
    def lengths(self) -> Value:
        """Entries of each row, (rows,) int64."""
        return self.offsets.part([1], [2**62]) - self.offsets.part([0], [-1])

    @property
    def cells(self) -> Value:
        """Row and item of each entry, (entries, 2) int64."""
        return apply("Concat", *(x.reshaped([-1], [1]) for x in (self.row, self.item)), axis=1)

    def with_values(self, values: Value) -> Histories:
        """The same cells with other values."""
        return replace(self, values=values, ones=False)

    def encoded(self, codes: np.ndarray, n_items: int) -> Histories:
        """The same histories in other columns, those of `codes`, (n_items,)."""
        return replace(self, item=self.graph.constant(codes)[self.item], n_items=n_items)

    def weighted(self, model: Any, *where_used: str) -> Histories:
        """The histories as `recae.recommend.weights.weighted` gives them to a model."""
        if model.weights not in where_used or model.weight_transform == "binarise":
            return self
        known = {value.name: value for value, _ in self.graph.inputs}
        one = np.ones(1, dtype=np.float32)
        given = known.get("weights") or self.graph.input("weights", "float32", ["weights"], one)
        each = apply("Expand", given, known["items"].size)[self.place]
        return self.with_values(_transformed(self, each, model._weighting))

    def row_sums(self, values: Value, reduction: str = "add") -> Value:
        """Sums over each row of one number per entry: (rows,)."""
        return added(full(values, [self.rows], 0, values.dtype), self.row, values, reduction)

    def written(self, table: Value, values: Value, reduction: str = "none") -> Value:
        """A table (rows, n_items) with values written into the cells of the histories."""
        return apply("ScatterND", table, self.cells, values, reduction=reduction)

    def bag(self, table: np.ndarray) -> Value:
        """histories @ table, (n_items, n) float32 -> (rows, n), from the rows of the items alone.

        One history after the other, each summed in the order of its entries, as torch does it. (A
        scatter of all entries at once would race: ONNX Runtime adds to a row in several threads.)
        """
        weight = self.graph.constant(table)
        width = table.shape[1]
        most = max(CELLS // max(width, 1), 1)

        def taken(start: Value, end: Value) -> Value:
            rows = weight[self.item.part(start, end)]
            if self.ones:
                return rows  # (entries, n)
            return rows * self.values.part(start, end).reshaped([-1], [1])

        def one_row(number: Value) -> tuple[None, list[Value], list[Value]]:
            """The sum of one row's entries of a table, at most `most` at a time, so that memory
            does not grow with the longest history."""
            at = number.reshaped([1])
            start, end = self.offsets[at], self.offsets[at + 1]
            if len(table) <= most:
                return None, [], [taken(start, end).sum(0)]
            first = apply("Min", start + most, end)

            def one_part(part: Value, total: Value) -> tuple[None, list[Value], list[Value]]:
                low = first + part * most
                rows = taken(low, apply("Min", low + most, end))
                return None, [joined(total.reshaped([1], [-1]), rows).sum(0)], []

            parts = (end - first + (most - 1)) / most
            return None, [], loop(number, parts, one_part, [taken(start, first).sum(0)])

        (sums,) = loop(self.row, self.rows, one_row, shapes=[[width]])
        return sums

    def spread(self, matrix: Any, values: Value, lowest: float = 0.0) -> Value:
        """histories @ matrix, a CSR (n_items, n): (rows, n) in the type of values.

        lowest: what cells get to which nothing was added.
        """
        n, dtype = matrix.shape[1], values.dtype
        begins = self.graph.constant(matrix.indptr.astype(np.int64))
        entry, at = expanded(begins, self.item)
        column = self.graph.constant(matrix.indices.astype(np.int32))[at].to("int64")
        cells = self.row[entry] * n + column
        parts = values[entry] * self.graph.constant(matrix.data.astype(dtype))[at]
        sums = added(full(self.row, [self.rows * n], 0, dtype), cells, parts)
        if lowest:
            empty = full(self.row, [self.rows * n], lowest, dtype)
            sums = apply("ScatterElements", empty, cells, sums[cells], axis=0)
        return sums.reshaped(self.rows, [n])


def dense_times(rows: Value, matrix: Any) -> Value:
    """rows @ matrix: (rows, m) float32 and a CSR (m, n) -> (rows, n), row by row."""
    of_row = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    taken, columns, data = (
        rows.graph.constant(part)
        for part in (of_row, matrix.indices.astype(np.int32), matrix.data.astype(np.float32))
    )

    def one_row(number: Value) -> tuple[None, list[Value], list[Value]]:
        parts = rows[number][taken] * data
        return None, [], [added(full(number, [[matrix.shape[1]]], 0, "float32"), columns, parts)]

    (found,) = loop(rows, rows.size, one_row, shapes=[[matrix.shape[1]]])
    return found


def expanded(begins: Value, rows: Value) -> tuple[Value, Value]:
    """The entries of some rows of a CSR whose `indptr` is `begins`, one after the other.

    For each its place in `rows` and its place among the entries of the CSR, (n,) int64 both.
    """
    start = begins[rows]
    counts = begins[rows + 1] - start
    ends = apply("CumSum", counts, 0)
    entry = owners(ends - counts, counts.sum(0, keep=True))
    at = apply("Range", 0, apply("Squeeze", entry.size), 1)
    return entry, at + (start - ends + counts)[entry]


def _transformed(x: Histories, weights: Value, weighting: Any) -> Value:
    """Weights as `Weighting.apply` transforms them, (entries,) float32."""
    name = weighting.name
    if name == "none":
        return weights
    exact = weights.to("float64")
    if name == "log1p":
        return apply("Log", exact + 1.0).to("float32")
    if name == "quantile":
        # How many entries of the same row are at most as large: pairs sorted by row, then weight.
        pairs = apply(
            "Concat", *(v.reshaped([-1], [1]) for v in (x.row.to("float64"), exact)), axis=1
        )
        _, _, which, counts = apply_many(
            "Unique", pairs, dtypes=["float64", "int64", "int64", "int64"], sorted=1, axis=0
        )
        place = apply("CumSum", counts, 0)[which] - x.offsets[x.row]
        return (place.to("float64") / x.lengths.to("float64")[x.row]).to("float32")
    lengths = (x.row_sums(exact) / weighting.length)[x.row]
    saturated = exact * (K1 + 1) / (exact + (lengths * B + (1 - B)) * K1)
    found: Value = (saturated * x.graph.constant(weighting.idf)[x.item]).to("float32")
    return found


def ranked(x: Histories, scores: Value, popularity: np.ndarray) -> None:
    """Adds the inputs `allowed` and `k` and the outputs `top_items` and `top_scores`.

    Rows without a known item get the popularity as scores. Items of the history and those that are
    not allowed are left out.
    """
    graph, n = x.graph, x.n_items
    empty = x.lengths.equals(0).reshaped([-1], [1])
    scores = where(empty, popularity.astype(np.float32)[None], scores, "float32")
    everything = np.ones((1, n), dtype=bool)
    allowed = graph.input("allowed", "bool", ["one_or_rows", n], everything)
    k = graph.input("k", "int64", [1], np.array([10]))
    own = allowed.part([0], apply("Max", x.rows, [1]))  # more rows of it would add lists
    scores = where(own, scores, -np.inf, "float32")
    scores = x.written(scores, full(x.row, [x.row.size], -np.inf, "float32"))
    # Of equal scores TopK gives the lower column first, as recae does.
    best, items = apply_many(
        "TopK", scores, apply("Min", k, [n]), dtypes=["float32", "int64"], axis=1
    )
    items = where(best.equals(-np.inf), -1, items, "int64")
    missing = joined([0, 0, 0], apply("Max", k - n, [0]))
    for name, found, empty_place in (("top_items", items, -1), ("top_scores", best, -np.inf)):
        padded = apply("Pad", found, missing, np.array(empty_place, dtype=found.dtype))
        graph.output(padded, name, ["rows", "k"])
