"""The Program: everything codegen is told, and all it may know.

    Program   = name, inputs, constants, functions, records
    Function  = name, doc, params, body, result, entry
    Statement = Map | Contract | Reduce | View | Write | Gather | Scatter | Call | Loop
    Var       = one value, assigned once, with its type and the name a person would give it

A body is in single-assignment form and in an order that runs: every Var is an input of the function
or the result of an earlier statement. Which values are fused, in which buffers they live and which
names they bear is codegen's own decision (`codegen.plan`); a Program states only what is computed.

Every statement carries `note`, the comment to print above it (equal notes of neighbouring
statements are printed once), and `tag`, an opaque string for the source map (where the user
declared it).
A statement of `name` hints: names are what the user wrote (`layer1.W`, `lambda`), not identifiers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Union

import numpy as np

from codegen.expr import Expr
from codegen.record import record, struct
from codegen.types import ArrayType, Shape, Size


class Var:
    """A value. Compared by identity; `name` is a hint and may be empty, and then `word` may say
    what the value is: the function that several steps compute."""

    __slots__ = ("keep_name", "name", "type", "word")

    def __init__(self, name: str, type: ArrayType, keep_name: bool = False, word: str = "") -> None:
        self.name = name
        self.word = word
        self.type = type
        # A name the user gave: the value is bound to it even where it is used once.
        self.keep_name = keep_name

    def __repr__(self) -> str:
        return f"{self.name or '_'}: {self.type}"


# -- statements ------------------------------------------------------------------------------------


class Map:
    """out[i] = expr(args[0][i], ...): elementwise, with NumPy broadcasting.

    `expr` is over Symbol("0"), Symbol("1"), ... which stand for args in order. The args have
    broadcastable shapes whose broadcast is out's shape, and dtypes such that NumPy's promotion of
    each sub-expression ends in out's dtype.
    """

    __slots__ = ("args", "expr", "note", "out", "tag")

    def __init__(
        self, out: Var, expr: Expr, args: tuple[Var, ...], note: str = "", tag: str = ""
    ) -> None:
        self.out = out
        self.expr = expr
        self.args = args
        self.note = note
        self.tag = tag


@record
class Affine:
    """An index expression: sum of coefficient * index, plus offset (`2*h + p - 1`)."""

    terms: tuple[tuple[str, int], ...]
    offset: int = 0

    @property
    def index(self) -> str | None:
        """The name, where this is one bare index."""
        if self.offset == 0 and len(self.terms) == 1 and self.terms[0][1] == 1:
            return self.terms[0][0]
        return None

    def __str__(self) -> str:
        parts = [name if c == 1 else f"{c}*{name}" for name, c in self.terms]
        if self.offset or not parts:
            parts.append(str(self.offset))
        return "+".join(parts).replace("+-", "-")


@struct
class Contract:
    """out[out_index] = sum over the indices that out lacks of the product of args[k][arg_index[k]].

    `extents` gives every index its size. Affine indices on an argument read windows (convolution);
    affine indices on the output add into it, and positions no index reaches are zero. Where an
    index expression would read outside an argument, the term is absent.
    """

    out: Var
    out_index: tuple[Affine, ...]
    args: tuple[Var, ...]
    arg_index: tuple[tuple[Affine, ...], ...]
    extents: tuple[tuple[str, Size], ...]
    note: str = ""
    tag: str = ""


ReduceFunction = Literal[
    "sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "count_nonzero"
]
Scan = Literal["cumsum", "cumprod", "cummax", "cummin", "argsort"]


@struct
class Reduce:
    """out = fn(arg, axis=axes, keepdims=keepdims); a Scan keeps the shape and has one axis."""

    out: Var
    fn: ReduceFunction | Scan
    arg: Var
    axes: tuple[int, ...]
    keepdims: bool = False
    note: str = ""
    tag: str = ""


@record
class Reshape:
    """The elements in C order, under a new shape."""

    shape: Shape


@record
class Transpose:
    """Axis k of the result is axis `axes[k]` of the operand."""

    axes: tuple[int, ...]


@record
class Broadcast:
    """NumPy's broadcast_to: new leading axes, and axes of size 1 repeated."""

    shape: Shape


@record
class Slice:
    """start + k * step for k < size, one triple an axis of the operand.

    A step may be a negative number, or a size, which is positive. Starts are non-negative and in
    range; sizes are the result's shape.
    """

    starts: tuple[Size, ...]
    sizes: tuple[Size, ...]
    steps: tuple[Size, ...]


@record
class Diagonal:
    """The diagonal of two axes, as the last axis (np.diagonal)."""

    offset: int
    axis1: int
    axis2: int


How = Union[Reshape, Transpose, Broadcast, Slice, Diagonal]


@struct
class View:
    """out shows arg's elements in another shape, order or selection; nothing is computed."""

    out: Var
    how: How
    arg: Var
    note: str = ""
    tag: str = ""


@struct
class Write:
    """out = full(shape, fill), then out[region k] = parts[k] (or +=, where `add`), in order.

    Concatenate, stack, pad, and the adjoint of a slice. Parts broadcast into their regions.
    `exhaustive` says that the regions cover out exactly, so that the fill is not needed.
    """

    out: Var
    fill: float | int | bool
    regions: tuple[Slice, ...]
    parts: tuple[Var, ...]
    add: bool = False
    exhaustive: bool = False
    note: str = ""
    tag: str = ""


# One entry an axis of the indexed array: an integer array, or None where the whole axis is taken.
Indexer = tuple[Var | None, ...]


@struct
class Gather:
    """out = arg[index]: NumPy's advanced indexing. Index arrays broadcast against each other.

    Their axes come where NumPy puts them: in place of the indexed axes where these are neighbours,
    else in front.
    """

    out: Var
    arg: Var
    index: Indexer
    note: str = ""
    tag: str = ""


@struct
class Scatter:
    """out = base, then out[index] += value (or = value where mode is "set").

    `base` None means zeros. Repeated positions add up; `unique` says that none repeats.
    """

    out: Var
    base: Var | None
    index: Indexer
    value: Var
    mode: Literal["add", "set"] = "add"
    unique: bool = False
    note: str = ""
    tag: str = ""


@struct
class Call:
    """outs = function(*args, **keywords): what NumPy or the user computes as a whole.

    `function` is a dotted name below np or scipy ("np.linalg.solve"), or a name in
    `Program.callables` (a user's primitive). Keywords are literals. Results are fresh arrays.
    """

    outs: tuple[Var, ...]
    function: str
    args: tuple[Var, ...]
    keywords: tuple[tuple[str, object], ...] = ()
    note: str = ""
    tag: str = ""


@struct
class Loop:
    """For t in 0, 1, ..., count - 1: the body, then outs[k][t] = results[k].

    rows: (inside, outside): in step t the Var inside is the Var outside at [t].
    carried: (inside, initial, following): in the first step the Var inside is the initial one, in
        every other what `following` was in the step before.
    outs: where one is of count + 1 rows, its result is carried on: the first row is the initial.
    body: statements on these and on any Var made before the loop.
    """

    outs: tuple[Var, ...]
    count: int
    rows: tuple[tuple[Var, Var], ...]
    carried: tuple[tuple[Var, Var, Var], ...]
    body: tuple[Statement, ...]
    results: tuple[Var, ...]
    note: str = ""
    tag: str = ""


Statement = Union[Map, Contract, Reduce, View, Write, Gather, Scatter, Call, Loop]


# -- functions -------------------------------------------------------------------------------------


@record
class Leaf:
    """A Var at a place in an argument or a result."""

    var: Var


@record
class Tree:
    """A container of arrays.

    kind "dict": keys are strings; "list", "tuple": keys are empty; "record": a named tuple whose
    class is `Program.records[record]`; "namedtuple": a user's own named tuple, whose class is
    unknown to the source: read by attribute, rebuilt by `_replace` on the argument it came from;
    "array": numbers, or lists of them, which are returned as a NumPy array; its one key is a name.
    """

    kind: Literal["dict", "list", "tuple", "record", "namedtuple", "array"]
    keys: tuple[str, ...]
    items: tuple[Node, ...]
    record: str = ""


Node = Union[Leaf, Tree]


@record
class Param:
    """An argument of a function: its name and what it holds. `default` is a literal, if any."""

    name: str
    value: Node
    default: float | None = None


@record
class SizeRule:
    """name = solve(shape of var at axis): how a named size is bound at entry.

    The axis holds scale * name + offset; the commonest is scale 1, offset 0.
    """

    name: str
    var: Var
    axis: int
    scale: int = 1
    offset: int = 0


@record
class Entry:
    """What a function checks before it computes.

    Each leaf of `params` is checked for dtype (converted where np.can_cast says "safe", Python
    numbers always) and for shape; `sizes` binds the named sizes; `equal` are pairs of sizes that
    must agree, and `enough` pairs of which the first must be at least the second, each with the
    text of the error; all sizes must be >= 0. Params named in `trusted` are taken as they are
    (`saved`, as `forward` made it).
    """

    sizes: tuple[SizeRule, ...] = ()
    equal: tuple[tuple[Size, Size, str], ...] = ()
    enough: tuple[tuple[Size, Size, str], ...] = ()
    trusted: tuple[str, ...] = ()


@record
class Function:
    """One emitted function.

    `entry` None means an internal function (`backward` receives `saved` as it was made).
    `result` says what is returned. Leaves must be fresh, writable and share memory with nothing,
    except those in `may_alias` (the saved values, which may refer to inputs).
    `shared` are values defined in module scope (constants).
    """

    name: str
    doc: str
    params: tuple[Param, ...]
    body: tuple[Statement, ...]
    result: Node
    entry: Entry | None = None
    may_alias: frozenset[Var] = frozenset()


@record
class Constant:
    """An array that the module carries. Above 64 elements it stays out of the source."""

    var: Var
    value: np.ndarray[Any, Any]


@record
class Record:
    """A named tuple class of the module: `class Grads(NamedTuple)`."""

    name: str
    fields: tuple[str, ...]
    types: tuple[str, ...] = ()
    doc: str = ""


@record
class Program:
    """One module: `name` is the graph's, `doc` stands at the top of the source."""

    name: str
    doc: str
    functions: tuple[Function, ...]
    constants: tuple[Constant, ...] = ()
    records: tuple[Record, ...] = ()
    callables: Mapping[str, Callable[..., Any]] = MappingProxyType({})


@record
class Options:
    """What steers the plan. Every field is part of the cache's key.

    sizes: expected values of named sizes, for the cost model only.
    threads: how many threads may run tiles; 1 means none.
    workspace: keep scratch buffers between calls (such a function is not reentrant).
    cache_bytes: the size of the cache a tile should fit.
    donate: arguments, by the name of their Var, that the caller gives away: a function that saves
        nothing may work in their storage, and return it.
    """

    sizes: tuple[tuple[str, int], ...] = ()
    threads: int = 1
    workspace: bool = False
    cache_bytes: int = 1 << 20
    donate: tuple[str, ...] = ()
