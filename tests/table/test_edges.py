"""Every op of the table at the edges of arrays and numbers: layouts in memory, byte orders, special
values, and the dtype of every intermediate."""

import ast
from contextlib import suppress

import numpy as np
import pytest
import scipy.special

import graphc
from graphc.derive.data import free_args
from graphc.types import DTYPES
from tests.table.test_table import FLOATING, SMOOTH, compiled, graph_of, name_of, points, total
from tests.test_interpret import meaning

# -- where the elements are in memory --------------------------------------------------------------


def layouts(x):
    """The same array elsewhere: spread out, backwards, repeated, read-only, byte-swapped, on a
    transposed one's memory."""
    spread = np.zeros([2 * size for size in x.shape], x.dtype)[(slice(None, None, 2),) * x.ndim]
    spread[...] = x
    backwards = x[(slice(None, None, -1),) * x.ndim].copy()[(slice(None, None, -1),) * x.ndim]
    frozen = x.copy()
    frozen.flags.writeable = False
    swapped = x.astype(x.dtype.newbyteorder(">"))
    return [np.asfortranarray(x), spread, backwards, np.stack([x, x])[1], frozen, swapped]


@pytest.mark.parametrize("op", FLOATING, ids=name_of)
def test_any_layout_in_memory(op):
    """Values and gradients do not depend on it, and the operands stay as they were."""
    operands = [column.reshape(2, 3) for column in points(op)]
    types = ["f64[2, 3]"] * len(operands)
    f = compiled(op, *types)
    wanted = f(*operands)
    g = graphc.compile(total(op, types), wrt=op.args) if op in SMOOTH else None
    slopes = g.value_and_grad(*operands)[1] if g else ()
    for laid in zip(*map(layouts, operands), strict=True):
        before = [x.copy() for x in laid]
        np.testing.assert_allclose(f(*laid), wanted, rtol=4e-15)
        if g:
            for one, other in zip(g.value_and_grad(*laid)[1], slopes, strict=True):
                np.testing.assert_allclose(one, other, rtol=4e-15, atol=1e-300)
        for x, copy in zip(laid, before, strict=True):
            np.testing.assert_array_equal(x, copy)


# -- special values --------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.3, 5e-324, -1e-310, 1e-30, 30.0, -30.0, 1e30, -1e30, 1e308,
           -1e308, np.inf, -np.inf, np.nan]  # fmt: skip
FEW = [0.0, 1.0, -1.5, 1e-310, 1e30, -1e308, np.inf, -np.inf, np.nan]


def special(op):
    grid = np.meshgrid(*[SPECIAL if len(op.args) == 1 else FEW] * len(op.args))
    return [column.ravel() for column in grid]


# Where the formula as it stands overflows, what it says.
STABLE = {
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": scipy.special.log_expit,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "rel_entr": scipy.special.rel_entr,
}


@pytest.mark.parametrize("op", FLOATING, ids=name_of)
def test_special_values_are_numpys(op):
    """At infinities, NaN, huge and tiny numbers, beside NumPy's and SciPy's functions."""
    x = special(op)
    with np.errstate(all="ignore"):
        wanted = STABLE.get(op.name, meaning(op))(*x)
        found = compiled(op, *[f"f64[{x[0].size}]"] * len(x))(*x)
    # At -30 the tails of the normal distribution magnify the rounding of x**2.
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("op", SMOOTH, ids=name_of)
def test_gradients_at_numbers_that_are_none(op):
    """A NaN in one element does not reach the gradients of the others."""
    x = points(op, 4)
    clean = graphc.compile(total(op, ["f64[4]"] * len(x)), wrt=op.args)
    with np.errstate(all="ignore"):
        wanted = clean.value_and_grad(*x)[1]
        for k in range(len(x)):
            spoilt = [column.copy() for column in x]
            spoilt[k][2] = np.nan
            found = clean.value_and_grad(*spoilt)[1]
            for one, other in zip(found, wanted, strict=True):
                # The other elements do not feel it.
                np.testing.assert_allclose(one[[0, 1, 3]], other[[0, 1, 3]], rtol=1e-12)


# -- second derivatives by every pair of operands --------------------------------------------------


@pytest.mark.parametrize("op", [op for op in SMOOTH if len(op.args) > 1], ids=name_of)
def test_mixed_second_derivatives(op):
    """Differences of every partial by every operand, and their symmetry."""
    x = points(op, 3)
    types = ["f64[3]"] * len(x)
    size, h = len(x), 1e-6
    found = np.zeros((size, size, 3))
    for i, arg in enumerate(op.args):
        if arg not in free_args(op):
            continue
        first = graphc.grad(total(op, types), wrt=arg)
        f = graphc.compile(first)
        summed = graphc.trace(lambda *xs, first=first: np.sum(first(*xs)), *types)
        for j, other in enumerate(summed.inputs):
            moved = [[column + s * h * (k == j) for k, column in enumerate(x)] for s in (1, -1)]
            central = (f(*moved[0]) - f(*moved[1])) / (2 * h)
            with suppress(graphc.GraphTypeError):  # the partial does not depend on the operand
                found[i, j] = graphc.compile(summed, wrt=other.name).value_and_grad(*x)[1]
            np.testing.assert_allclose(found[i, j], central, rtol=3e-6, atol=3e-6)
    free = [k for k, arg in enumerate(op.args) if arg in free_args(op)]
    mixed = found[np.ix_(free, free)]
    np.testing.assert_allclose(mixed, mixed.swapaxes(0, 1), rtol=1e-10, atol=1e-12)


# -- single precision ------------------------------------------------------------------------------


class _Watched(ast.NodeTransformer):
    """Every expression of a module wrapped in a call that is shown its value."""

    def visit_FunctionDef(self, node):
        if node.name.startswith("_"):  # what checks and converts the arguments
            return node
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_ClassDef(self, node):
        return node

    def visit_Call(self, node):
        node.args = [self.visit(arg) for arg in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return self._shown(node)

    def visit_BinOp(self, node):
        return self._shown(self.generic_visit(node))

    visit_UnaryOp = visit_Compare = visit_IfExp = visit_BinOp

    def visit_Subscript(self, node):
        return self._shown(node) if isinstance(node.ctx, ast.Load) else node

    @staticmethod
    def _shown(node):
        return ast.Call(ast.Name("_shown", ast.Load()), [node], [])


def widest(source, name, *arguments, constants=None):
    """Calls a function of an emitted module; the dtypes of all values that it computes.

    constants: the arrays that the module is given, by their names.
    """
    seen = set()

    def shown(value):
        if isinstance(value, np.ndarray | np.generic):
            seen.add(value.dtype)
        return value

    tree = ast.fix_missing_locations(_Watched().visit(ast.parse(source)))
    namespace = {"_shown": shown, "__name__": "watched", **(constants or {})}
    exec(compile(tree, "watched", "exec"), namespace)
    with np.errstate(all="ignore"):
        result = namespace[name](*arguments)
    return result, seen


def test_the_watch_sees_what_is_inside_an_expression():
    source = (
        "import numpy as np\ndef f(x):\n    return np.add(x, np.float64(2), dtype=np.float32)\n"
    )
    assert np.dtype(np.float64) in widest(source, "f", np.ones(2, np.float32))[1]
    assert widest(source.replace("64", "32"), "f", np.ones(2, np.float32))[1] == {
        np.dtype(np.float32)
    }


@pytest.mark.parametrize("op", [op for op in FLOATING if op.name != "f64"], ids=name_of)
@pytest.mark.parametrize("shape", ["n", ""])
def test_no_intermediate_is_wider(op, shape):
    """Of f32 operands nothing in the emitted code is computed in f64, forward or backward."""
    operands = [column.astype(np.float32) for column in points(op)]
    operands = [column[0] if not shape else column for column in operands]
    types = [f"f32[{shape}]" if shape else "f32"] * len(operands)
    source = graphc.compile(graph_of(op, *types)).source
    value, seen = widest(source, "value", *operands)
    assert np.dtype(DTYPES["f64"]) not in seen
    assert np.asarray(value).dtype in (np.float32, bool)
    if op not in SMOOTH:
        return
    source = graphc.compile(total(op, types), wrt=op.args).source
    (_, grads), seen = widest(source, "value_and_grad", *operands)
    assert np.dtype(DTYPES["f64"]) not in seen
    assert all(np.asarray(gradient).dtype == np.float32 for gradient in grads)
    (_, saved), seen = widest(source, "forward", *operands)
    grads, more = widest(source, "backward", saved, np.float32(1.5))
    assert np.dtype(DTYPES["f64"]) not in seen | more
