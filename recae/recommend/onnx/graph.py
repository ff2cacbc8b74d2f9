"""A small builder of ONNX graphs: values with the arithmetic of arrays, loops and constants.

Nothing here needs the package `onnx`; `file.py` turns a graph into a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Number = int | float | bool
Shape = Sequence[int | str] | None
"""Of an input or output: numbers, or the names of sizes that a call decides. None: not stated."""


@dataclass(frozen=True)
class Value:
    """A tensor of a graph: what an operation gives, an input or a constant. dtype: as numpy's."""

    graph: Graph
    name: str
    dtype: str

    def __add__(self, other: Operand) -> Value:
        return apply("Add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return apply("Sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return apply("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return apply("Mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return apply("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return apply("Div", other, self)

    def __matmul__(self, other: Operand) -> Value:
        return apply("MatMul", self, other)

    def __neg__(self) -> Value:
        return apply("Neg", self)

    def __and__(self, other: Operand) -> Value:
        return apply("And", self, other)

    def __getitem__(self, index: Operand) -> Value:
        """The rows of an index, (n,) or a scalar int64."""
        return apply("Gather", self, index, axis=0)

    def below(self, other: Operand) -> Value:
        """self < other, bool."""
        return apply("Less", self, other, dtype="bool")

    def equals(self, other: Operand) -> Value:
        """self == other, bool."""
        return apply("Equal", self, other, dtype="bool")

    def to(self, dtype: str) -> Value:
        """The same numbers in another type."""
        return self if dtype == self.dtype else apply("Cast", self, dtype=dtype, to=dtype)

    def part(self, start: Operand, end: Operand, axis: int = 0) -> Value:
        """Places start to end of an axis; start and end are (1,) int64."""
        return apply("Slice", self, start, end, [axis])

    def sum(self, axis: int, keep: bool = False) -> Value:
        """Sums over an axis."""
        return apply("ReduceSum", self, [axis], keepdims=int(keep))

    def reshaped(self, *sizes: Operand) -> Value:
        """The same numbers in another shape; sizes: (1,) int64 each, -1 for what is left."""
        return apply("Reshape", self, shape(self, sizes))

    @property
    def size(self) -> Value:
        """The length of the first axis, (1,) int64."""
        return apply("Shape", self, dtype="int64", start=0, end=1)


Operand = Value | np.ndarray | Sequence[int] | Number


@dataclass(frozen=True)
class Node:
    """An operation. attributes: numbers, texts, dtypes under "to", and graphs."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass(eq=False)
class Graph:
    """Operations in their order, with inputs and outputs; bodies of loops have an outer graph.

    constants: of the outermost graph, by name. defaults: the values of inputs that a call may
    leave out.
    """

    outer: Graph | None = None
    nodes: list[Node] = field(default_factory=list)
    inputs: list[tuple[Value, Shape]] = field(default_factory=list)
    outputs: list[tuple[Value, Shape]] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    defaults: dict[str, np.ndarray] = field(default_factory=dict)
    used: int = 0

    @property
    def root(self) -> Graph:
        """The outermost graph."""
        return self if self.outer is None else self.outer.root

    @property
    def depth(self) -> int:
        """How many graphs are around this one."""
        return 0 if self.outer is None else 1 + self.outer.depth

    def name(self, what: str) -> str:
        """A name that is not taken."""
        self.root.used += 1
        return f"{what}_{self.root.used}"

    def input(self, name: str, dtype: str, shape: Shape, default: Any = None) -> Value:
        """A new input; default: the value of one that may be left out."""
        value = Value(self, name, dtype)
        self.inputs.append((value, shape))
        if default is not None:
            self.defaults[name] = default
        return value

    def output(self, value: Value, name: str, shape: Shape) -> None:
        """Makes a value an output of the graph."""
        self.nodes.append(Node("Identity", [value.name], [name], {}))
        self.outputs.append((Value(self, name, value.dtype), shape))

    def constant(self, array: np.ndarray) -> Value:
        """A constant; equal ones are stored once. The array is kept, not copied."""
        array = np.ascontiguousarray(array) if array.ndim else array
        constants = self.root.constants
        for name, known in constants.items():
            if known.dtype == array.dtype and known.shape == array.shape:
                if known is array or np.array_equal(known, array):
                    return Value(self, name, str(array.dtype))
        name = self.name("constant")
        constants[name] = array
        return Value(self, name, str(array.dtype))


def apply(op: str, *inputs: Operand, dtype: str | None = None, **attributes: Any) -> Value:
    """The one result of an operation. dtype: of the result, by default that of the first value.

    Numbers take the type of the first value; lists of integers are int64.
    """
    return apply_many(op, *inputs, dtypes=[dtype], **attributes)[0]


def apply_many(
    op: str, *inputs: Operand, dtypes: Sequence[str | None], **attributes: Any
) -> list[Value]:
    """The results of an operation, one for each of `dtypes`."""
    values = [given for given in inputs if isinstance(given, Value)]
    graph = max((value.graph for value in values), key=lambda graph: graph.depth)
    names = [_value(graph, given, values[0].dtype).name for given in inputs]
    results = [Value(graph, graph.name(op), dtype or values[0].dtype) for dtype in dtypes]
    graph.nodes.append(Node(op, names, [result.name for result in results], attributes))
    return results


def _value(graph: Graph, given: Operand, dtype: str) -> Value:
    if isinstance(given, Value):
        return given
    if isinstance(given, np.ndarray):
        return graph.constant(given)
    if isinstance(given, Sequence):
        return graph.constant(np.array(given, dtype=np.int64))
    return graph.constant(np.array(given, dtype=dtype))


def joined(*parts: Operand) -> Value:
    """Vectors, one after the other."""
    return apply("Concat", *parts, axis=0)


def shape(like: Value, sizes: Sequence[Operand]) -> Value:
    """Sizes of axes, (axes,) int64; each is (1,) int64. like: any value of the graph."""
    if any(isinstance(size, Value) for size in sizes):
        return joined(*sizes)
    return like.graph.constant(np.concatenate([np.asarray(size, np.int64) for size in sizes]))


def full(like: Value, sizes: Sequence[Operand], number: Number, dtype: str) -> Value:
    """A tensor of one number; sizes: (1,) int64 each. like: any value of the graph."""
    return apply(
        "ConstantOfShape", shape(like, sizes), dtype=dtype, value=np.array([number], dtype=dtype)
    )


def where(condition: Value, yes: Operand, no: Operand, dtype: str) -> Value:
    """yes or no, cell by cell."""
    both = [x if isinstance(x, Value) else np.array(x, dtype=dtype) for x in (yes, no)]
    return apply("Where", condition, *both, dtype=dtype)


def added(into: Value, index: Value, what: Value, reduction: str = "add") -> Value:
    """A vector with numbers added at some places: index and what (n,)."""
    return apply("ScatterElements", into, index, what, axis=0, reduction=reduction)


def owners(starts: Value, total: Value) -> Value:
    """The number of the slice that each place 0..total-1 belongs to, (total,) int64.

    starts: (slices,) ascending int64, where each slice begins; total: (1,). -1 before the first.
    """
    ones = apply("Add", full(starts, [starts.size], 0, "int64"), 1)
    begun = added(full(total, [total + 1], 0, "int64"), starts, ones)
    return apply("CumSum", begun, 0).part([0], total) - 1


Body = Callable[..., tuple[Value | None, Sequence[Value], Sequence[Value]]]
"""(number, *states) -> whether to go on (None: always), new states, and values to stack."""


def loop(
    like: Value,
    count: Value | None,
    body: Body,
    states: Sequence[Value] = (),
    going: Value | None = None,
    shapes: Sequence[Shape] = (),
) -> list[Value]:
    """Runs `body` count times or while it goes on: the last states, then the stacked values.

    shapes: of the values to stack, each. going: whether to begin. like: any value of the graph.
    """
    inner = Graph(like.graph)
    number = inner.input(inner.name("number"), "int64", [])
    goes_on = inner.input(inner.name("going"), "bool", [])
    carried = [inner.input(inner.name("state"), state.dtype, None) for state in states]
    more, new, stacked = body(number, *carried)
    more = apply("Identity", goes_on) if more is None else more
    kept = [apply("Identity", Value(inner, value.name, value.dtype)) for value in new]
    inner.outputs = [(more, []), *((value, None) for value in kept)]
    inner.outputs += [(value, shape) for value, shape in zip(stacked, shapes, strict=True)]
    graph = like.graph
    results = [Value(graph, graph.name("Loop"), value.dtype) for value in (*new, *stacked)]
    graph.nodes.append(
        Node(
            "Loop",
            ["" if count is None else count.name, "" if going is None else going.name]
            + [state.name for state in states],
            [result.name for result in results],
            {"body": inner},
        )
    )
    return results
