"""Random Programs: whatever is fused, reused or inlined, the numbers are the evaluator's."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codegen.expr import Apply, Extent, Number, Symbol
from codegen.program import Broadcast, Reshape, Slice, Transpose, Var
from codegen.types import ArrayType, Dim, Size
from tests.codegen.compare import check
from tests.codegen.programs import Body, dim, entry, function, program, tuple_of

N, M = dim("n"), dim("m")
SIZES = {"n": 5, "m": 3}
UNARY = ["tanh", "sin", "negative", "absolute", "square", "arctan", "sign"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum", "arctan2"]


class Writer:
    """Draws statements over a growing pool of values."""

    def __init__(self, draw):
        self.draw = draw
        self.body = Body()
        self.pool: list[Var] = []
        self.count = 0

    def pick(self, kind=None):
        pool = [v for v in self.pool if kind is None or kind(v)]
        return self.draw(st.sampled_from(pool)) if pool else None

    def names(self):
        """Named and kept, named as a hint, or unnamed."""
        self.count += 1
        how = self.draw(st.sampled_from(["kept", "hint", "", ""]))
        if how == "kept":
            return {"name": f"v{self.count}", "keep": True}
        return {"name": f"v{self.count % 3}" if how == "hint" else "", "keep": False}

    def add(self, var):
        if var is not None:
            self.pool.append(var)

    # -- statements --------------------------------------------------------------------------------

    def map(self):
        first = self.pick(lambda v: v.type.floating)
        args = [first]
        other = self.pick(
            lambda v: (
                v.type.dtype in (first.type.dtype, "bool")
                and broadcasts(v.type.shape, first.type.shape)
            )
        )
        args.append(other)
        tree = self.tree(args, 3)
        self.add(
            self.body.map(first.type, Apply("add", (Symbol("0"), tree)), *args, **self.names())
        )

    def tree(self, args, depth):
        kind = self.draw(st.integers(0, 6 if depth else 2))
        if kind <= 1:
            k = self.draw(st.integers(0, len(args) - 1))
            symbol = Symbol(str(k))
            if args[k].type.dtype == "bool":
                return Apply("where", (symbol, Symbol("0"), Number(0.5)))
            return symbol
        if kind == 2:
            return Number(self.draw(st.sampled_from([0.0, 1.0, -0.5, 2, 3.0])))
        if kind <= 4:
            return Apply(self.draw(st.sampled_from(UNARY)), (self.tree(args, depth - 1),))
        if kind == 5 and self.draw(st.booleans()):
            condition = Apply("less", (Symbol("0"), self.tree(args, depth - 1)))
            branches = (self.tree(args, depth - 1), self.tree(args, depth - 1))
            return Apply("where", (condition, *branches))
        pair = (self.tree(args, depth - 1), self.tree(args, depth - 1))
        return Apply(self.draw(st.sampled_from(BINARY)), pair)

    def chain(self):
        """Steps that each work on the one before, which is where storage is reused."""
        var = self.pick(lambda v: v.type.floating)
        for _ in range(self.draw(st.integers(1, 4))):
            name = self.draw(st.sampled_from(["tanh", "negative", "add", "multiply"]))
            operands = (Symbol("0"),) if name in UNARY else (Symbol("0"), Number(0.5))
            var = self.body.map(var.type, Apply(name, operands), var, **self.names())
            self.add(var)

    def mean(self):
        """A division by a size."""
        var = self.pick(lambda v: v.type.floating)
        tree = Apply("divide", (Symbol("0"), Extent(N)))
        self.add(self.body.map(var.type, tree, var, **self.names()))

    def mask(self):
        var = self.pick(lambda v: v.type.floating)
        tree = Apply("greater", (Symbol("0"), Number(0.0)))
        self.add(self.body.map(ArrayType("bool", var.type.shape), tree, var, **self.names()))

    def cast(self):
        var = self.pick()
        other = "f32" if var.type.dtype == "f64" else "f64"
        tree = Apply(other, (Symbol("0"),))
        self.add(self.body.map(ArrayType(other, var.type.shape), tree, var, **self.names()))

    def reduce(self):
        var = self.pick(lambda v: v.type.floating and v.type.ndim > 0)
        if var is None:
            return
        axis = self.draw(st.integers(0, var.type.ndim - 1))
        keep = self.draw(st.booleans())
        shape = list(var.type.shape)
        if keep:
            shape[axis] = 1
        else:
            del shape[axis]
        fn = self.draw(st.sampled_from(["sum", "max", "min"]))
        type = ArrayType(var.type.dtype, tuple(shape))
        self.add(self.body.reduce(type, fn, var, (axis,), keep))

    def view(self):
        var = self.pick(lambda v: v.type.ndim > 0)
        if var is None:
            return
        shape, rank = var.type.shape, var.type.ndim
        kind = self.draw(st.integers(0, 3))
        if kind == 0:
            axes = tuple(self.draw(st.permutations(range(rank))))
            how, new = Transpose(axes), tuple(shape[a] for a in axes)
        elif kind == 1:
            at = self.draw(st.integers(0, rank))
            new = (*shape[:at], 1, *shape[at:])
            how = Reshape(new)
        elif kind == 2:
            new = (M, *shape)
            how = Broadcast(new)
        else:
            reverse = self.draw(st.booleans())
            starts: tuple[Size, ...] = tuple(s - 1 if reverse else 0 for s in shape)
            how, new = Slice(starts, shape, (-1 if reverse else 1,) * rank), shape
        if len(new) <= 3:
            name = self.draw(st.sampled_from(["", "w"]))
            self.add(self.body.view(ArrayType(var.type.dtype, new), how, var, name))

    def matmul(self):
        a = self.pick(lambda v: v.type.dtype == "f64" and v.type.ndim == 2)
        b = self.pick(lambda v: v.type.dtype == "f64" and v.type.ndim == 2)
        if a is None or a.type.shape[1] != b.type.shape[0]:
            return
        type = ArrayType("f64", (a.type.shape[0], b.type.shape[1]))
        names = self.names()
        self.add(self.body.contract(type, "i, j", (a, "i, k"), (b, "k, j"), **names))

    def gather(self):
        var = self.pick(lambda v: v.type.ndim > 0)
        index = self.pick(lambda v: v.type.dtype == "i64" and v.type.ndim == 1)
        if var is None or index is None or var.type.shape[0] not in (N, M):
            return
        rest = (None,) * (var.type.ndim - 1)
        type = ArrayType(var.type.dtype, (*index.type.shape, *var.type.shape[1:]))
        self.add(self.body.gather(type, var, index, *rest))

    def scatter(self):
        base = self.pick(lambda v: v.type.floating and v.type.ndim > 0)
        index = self.pick(lambda v: v.type.dtype == "i64" and v.type.ndim == 1)
        if base is None or index is None or base.type.shape[0] not in (N, M):
            return
        shape = (*index.type.shape, *base.type.shape[1:])
        value = self.pick(lambda v: v.type.dtype == base.type.dtype and v.type.shape in (shape, ()))
        if value is None:
            return
        rest = (None,) * (base.type.ndim - 1)
        start = base if self.draw(st.booleans()) else None
        self.add(self.body.scatter(base.type, start, (index, *rest), value))

    def write(self):
        var = self.pick(lambda v: v.type.floating and v.type.ndim > 0)
        if var is None:
            return
        shape = (var.type.shape[0] + 2, *var.type.shape[1:])
        steps = (1,) * var.type.ndim
        first = Slice((0,) * var.type.ndim, var.type.shape, steps)
        second = Slice((2, *(0,) * (var.type.ndim - 1)), var.type.shape, steps)
        parts = [(first, var), (second, var)]
        self.add(self.body.write(ArrayType(var.type.dtype, shape), 0.0, parts, add=True))


def broadcasts(small: tuple[Size, ...], large: tuple[Size, ...]) -> bool:
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(a in (b, 1) for a, b in pairs)


STATEMENTS = [
    "map", "map", "map", "chain", "chain", "mean", "mask", "cast", "reduce", "view", "view",
    "matmul", "gather", "scatter", "write",
]  # fmt: skip


@st.composite
def programs(draw):
    writer = Writer(draw)
    types = [
        ArrayType("f64", (N, M)), ArrayType("f64", (M, N)), ArrayType("f64", (N,)),
        ArrayType("f32", (N, M)), ArrayType("f64"), ArrayType("f32"), ArrayType("i64", (M,)),
    ]  # fmt: skip
    variables = {f"x{k}": Var(f"x{k}", type, True) for k, type in enumerate(types)}
    writer.pool.extend(variables.values())
    for _ in range(draw(st.integers(2, 14))):
        getattr(writer, draw(st.sampled_from(STATEMENTS)))()
    made = len(types)
    candidates = writer.pool[made:] or writer.pool
    picks = draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=4))
    results = [*picks, writer.pool[-1]]
    checked = function("f", variables, writer.body, tuple_of(*results))
    assert checked.entry == entry(list(variables.values()))
    return program("p", checked)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 3))
def test_any_program(made, seed):
    check(made, rtol=2e-4 if uses_f32(made) else 1e-9, seed=seed, **SIZES)


def uses_f32(made):
    """Whether some computed value is in single precision."""
    outs = [statement.out for statement in made.functions[0].body]
    return any(out.type.dtype == "f32" for out in outs)


def test_named_sizes_are_dims():
    assert isinstance(N, Dim)
