"""NumPy's functions in a trace: what they compute, and what their gradients are."""

import inspect
import io

import autograd
import autograd.numpy
import numpy as np
import pytest

import graphc
from graphc import verify
from graphc.dispatch import table
from graphc.dispatch.registry import FUNCTIONS
from tests.coverage.cases import TABLE, X

RNG = np.random.default_rng(19)
ROWS = [
    pytest.param(operand, call, id=f"{name}-{k}")
    for name, calls in TABLE.items()
    for k, (operand, call) in enumerate(calls)
]
TOLERANCES = {np.dtype(np.float32): 2e-4}


def expected_of(call, operand):
    with np.errstate(all="ignore"):
        return np.asarray(call(np, operand))


def assert_same(found, expected, operand):
    found = np.asarray(found)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    tolerance = max(TOLERANCES.get(x.dtype, 1e-11) for x in (expected, operand))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def compiled(call, operand):
    graph = graphc.trace(lambda x: call(np, x), operand)
    verify.verify(graph)
    return graphc.compile(graph)


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
@pytest.mark.parametrize(("operand", "call"), ROWS)
def test_means_what_numpy_means(operand, call):
    """The value, its shape and dtype: for f64, for f32, and for arrays of any memory layout."""
    function = compiled(call, operand)
    expected = expected_of(call, operand)
    assert_same(function(operand), expected, operand)
    for other in layouts(operand):
        assert_same(function(other), expected, operand)
    if operand.dtype == np.float64:
        single = operand.astype(np.float32)
        assert_same(compiled(call, single)(single), expected_of(call, single), single)


def layouts(x):
    """The same array elsewhere in memory: column by column, spread out, read-only, byte-swapped."""
    spread = np.zeros([2 * size for size in x.shape], x.dtype)[(slice(None, None, 2),) * x.ndim]
    spread[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    return [np.asfortranarray(x), spread, frozen, x.astype(x.dtype.newbyteorder(">"))]


def differentiable(operand, call):
    expected = expected_of(call, operand)
    return operand.dtype.kind == "f" and expected.dtype.kind == "f"


GRADIENTS = [row for row in ROWS if differentiable(*row.values)]


def weighted(call, operand):
    """A scalar of the result: the sum of its elements, each with a weight of its own.

    NaN stays out, and with it every path that leads to it.
    """
    expected = expected_of(call, operand)
    weights = RNG.normal(size=expected.shape).astype(expected.dtype)
    known = ~np.isnan(expected)

    def scalar(x):
        return np.sum(np.where(known, call(np, x), 0.0) * weights)

    return scalar


@pytest.mark.parametrize(("operand", "call"), GRADIENTS)
def test_gradients_are_numerical_ones(operand, call):
    finite = np.where(np.isfinite(operand), operand, 0.5)
    graph = graphc.trace(weighted(call, finite), finite)
    assert graphc.check_grads(graph, finite).ok


FINITE = [row for row in GRADIENTS if np.all(np.isfinite(row.values[0]))][::3]


@pytest.mark.parametrize(("operand", "call"), FINITE)
def test_second_derivatives_are_numerical_ones(operand, call):
    """Of every third row, so that all functions with three calls or more take part."""
    scalar = weighted(call, operand)
    gradient = graphc.grad(graphc.trace(lambda x: scalar(x) + scalar(x) ** 2, operand))
    weights = RNG.normal(size=operand.shape)
    second = graphc.trace(lambda x: np.sum(gradient(x) * weights), operand)
    assert graphc.check_grads(second, operand).ok


@pytest.mark.parametrize(("operand", "call"), ROWS[::4])
def test_the_text_form_keeps_them(operand, call):
    graph = graphc.trace(lambda x: call(np, x), operand)
    text = graphc.dumps(graph)
    loaded = graphc.loads(text)
    assert graphc.dumps(loaded) == text
    np.testing.assert_array_equal(graphc.compile(loaded)(operand), graphc.compile(graph)(operand))


# What autograd differentiates, but for some options that it does not know.
AUTOGRAD = """
    sum prod mean max min amax amin var std cumsum diff reshape ravel transpose swapaxes moveaxis
    rollaxis expand_dims squeeze flipud fliplr rot90 tile tril triu concatenate vstack hstack dstack
    column_stack append split vsplit hsplit dsplit where select dot inner outer tensordot einsum
    kron cross clip sinc nan_to_num real
"""
LACKING = (
    "sum-4 sum-6 prod-4 mean-4 var-6 std-5 diff-2 transpose-2 rollaxis-2 rot90-5 hsplit-1 tril-1"
)
THEIRS = [
    row
    for row in GRADIENTS
    if row.id.rpartition("-")[0] in AUTOGRAD.split() and row.id not in LACKING.split()
]


@pytest.mark.parametrize(("operand", "call"), THEIRS)
def test_gradients_are_those_of_autograd(operand, call):
    weights = RNG.normal(size=expected_of(call, operand).shape)
    theirs = autograd.grad(lambda x: autograd.numpy.sum(call(autograd.numpy, x) * weights))
    graph = graphc.trace(lambda x: np.sum(call(np, x) * weights), operand)
    ours = graphc.compile(graph).value_and_grad(operand)[1].x
    np.testing.assert_allclose(ours, theirs(operand), rtol=1e-9, atol=1e-11)


# -- empty arrays and scalars ----------------------------------------------------------------------

SMALL = [np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.array(2.0), np.ones((1, 1))]
ON_ANYTHING = """
    sum prod mean max min ptp var std any all count_nonzero argmax cumsum cumprod nansum nanprod
    nanmean nancumsum sort diff ediff1d ravel transpose squeeze atleast_1d atleast_2d atleast_3d
    flip roll repeat tile diag diagflat tril triu concatenate stack vstack hstack dstack append
    split array_split block pad round sinc nan_to_num isclose allclose real imag angle zeros_like
    median trapezoid vdot inner outer kron trace unwrap vander
"""
FURTHER = {
    "roll": (1,), "repeat": (2,), "tile": (2,), "append": (3.0,), "split": (1,),
    "array_split": (2,), "pad": (1,), "isclose": (1.0,), "allclose": (1.0,), "vdot": (1.5,),
    "inner": (1.5,), "outer": (1.5,), "kron": (1.5,),
}  # fmt: skip
LISTED = {"concatenate", "stack", "vstack", "hstack", "dstack"}


def first_array(result):
    return result[0] if isinstance(result, list | tuple) and result else result


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ON_ANYTHING.split())
@pytest.mark.parametrize("x", SMALL, ids=lambda x: str(x.shape))
def test_empty_arrays_and_scalars(name, x):
    """The same value as NumPy's; where NumPy raises, a GraphError."""

    def call(x):
        operand = [x, x] if name in LISTED else x
        return first_array(getattr(np, name)(operand, *FURTHER.get(name, ())))

    try:
        expected = np.asarray(call(x))
    except (ValueError, IndexError, TypeError):
        with pytest.raises(graphc.GraphError):
            graphc.trace(call, x)
        return
    if name in NO_NUMBER and x.size == 0:
        with pytest.raises(graphc.GraphError):
            graphc.trace(call, x)
        return
    found = graphc.compile(graphc.trace(call, x))(x)
    np.testing.assert_array_equal(found, expected)
    assert np.shape(found) == expected.shape


# NumPy gives NaN and a warning for no elements; a graph says so when it is declared.
NO_NUMBER = {"median"}

# -- exact where it is hard ------------------------------------------------------------------------

ZEROS = [[1.5, 2.0, -0.7, 3.0], [1.0, 0.0, 2.0, 3.0], [0.0, 0.0, 1.0, 2.0], [0.0, 2.0, 1.0, 0.0]]


@pytest.mark.parametrize("x", ZEROS)
@pytest.mark.parametrize("size", ["4", "n"])
@pytest.mark.parametrize("name", ["prod", "cumprod"])
def test_products_are_exact_at_zeros_to_second_order(name, x, size):
    function = getattr(np, name)
    first = graphc.trace(lambda x: np.sum(function(x) * np.cumsum(x * x)), f"f64[{size}]")
    gradient = graphc.grad(first)
    second = graphc.trace(lambda x: np.sum(gradient(x) * x[::-1]), f"f64[{size}]")
    assert graphc.check_grads(first, np.array(x)).ok
    assert graphc.check_grads(second, np.array(x)).ok
    assert np.all(np.isfinite(graphc.compile(second).value_and_grad(np.array(x))[1]))


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (lambda x: np.std(x), [2.0, 2.0, 2.0], [0, 0, 0]),
        (lambda x: np.nanstd(x), [2.0, np.nan, 2.0], [0, 0, 0]),
        (lambda x: np.max(x), [1.0, 3.0, 3.0], [0, 0.5, 0.5]),
        (lambda x: np.max(x, where=np.array([True, True, False]), initial=-1.0), [1.0, 2.0, 9.0],
         [0, 1, 0]),
        (lambda x: np.median(x), [5.0, 1.0, 2.0], [0, 0, 1]),
        (lambda x: np.nansum(x * x), [np.nan, 1.0, 2.0], [0, 2, 4]),
        (lambda x: np.sort(x)[0], [3.0, 1.0, 2.0], [0, 1, 0]),
        (lambda x: np.quantile(x, 0.25), [3.0, 1.0, 2.0], [0, 0.5, 0.5]),
        (lambda x: np.sum(x, where=np.array([True, False, True])), [1.0, np.inf, 2.0], [1, 0, 1]),
        (lambda x: np.interp(x, [0.0, 1.0], [0.0, 2.0]).sum(), [-1.0, 0.5, 3.0], [0, 2, 0]),
        (lambda x: np.maximum.accumulate(x).sum(), [1.0, 1.0, 0.0], [2, 1, 0]),
        (lambda x: np.minimum.accumulate(x).sum(), [2.0, 1.0, 1.0], [1, 1.5, 0.5]),
        (lambda x: graphc.clip(x, -1.0, 1.0).sum(), [-1.0, 0.5, 1.0], [0, 1, 0]),
        (lambda x: graphc.clip(x, -1.0, 1.0, edge=1).sum(), [-1.0, 0.5, 1.0], [1, 1, 1]),
        (lambda x: graphc.clip(x, -1.0, 1.0, edge=1).sum(), [-1.5, 0.5, 2.0], [0, 1, 0]),
        (lambda x: np.clip(x, -1.0, 1.0).sum(), [-1.0, 0.5, 1.0], [0, 1, 0]),
    ],
)  # fmt: skip
def test_gradients_at_special_points(function, x, expected):
    gradient = graphc.grad(graphc.trace(function, "f64[3]"))
    np.testing.assert_allclose(gradient(np.array(x)), expected, atol=1e-15)


NAMED = [
    lambda x: np.tril(x), lambda x: np.triu(x, 1), lambda x: np.pad(x, 2, mode="reflect"),
    lambda x: np.pad(x, 1, mode="edge"), lambda x: np.pad(x, ((1, 2), (0, 1)), mode="symmetric"),
    lambda x: np.pad(x, 1, mode="wrap"), lambda x: np.pad(x, 1, mode="mean"),
    lambda x: np.median(x), lambda x: np.median(x, 0), lambda x: np.quantile(x, 0.3, axis=0),
    lambda x: np.sort(x, 0), lambda x: np.gradient(x, axis=0), lambda x: np.trapezoid(x, axis=0),
    lambda x: np.interp(0.3, np.sort(x[:, 0]), x[:, 1]), lambda x: np.cumprod(x, 0),
    lambda x: np.convolve(x[:, 0], [1, 2, 3.0]), lambda x: np.ravel(x, order="F"),
    lambda x: np.diag(x[:, 0], 1), lambda x: np.var(x, 0, ddof=1), lambda x: np.nanmedian(x, 0),
    lambda x: np.kron(x, x), lambda x: np.cov(x.T), lambda x: np.average(x, axis=0),
    lambda x: np.maximum.accumulate(x), lambda x: np.quantile(x, 0.3, axis=0, method="hazen"),
    lambda x: np.interp(x, x[:, 0], x[:, 1], period=1.5),
]  # fmt: skip


@pytest.mark.parametrize("function", NAMED, ids=range(len(NAMED)))
def test_named_sizes(function):
    compiled = graphc.compile(graphc.trace(function, "f64[n, 4]"))
    for n in (3, 6):
        x = RNG.normal(size=(n, 4))
        np.testing.assert_allclose(compiled(x), function(x), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_named_size_that_is_0_folds_to_the_initial_value(rows):
    x = RNG.normal(size=(rows, 2, rows))
    for function in (np.max, np.min, np.nanmax, np.nanmin):
        for options in (
            {"axis": 0, "initial": 0.25},
            {"axis": (0, 2), "initial": 0.25, "keepdims": True},
            {"initial": -3, "where": np.array([[True], [False]])},
        ):
            graph = graphc.trace(lambda x, f=function, o=options: f(x, **o), "f64[n, 2, n]")
            np.testing.assert_array_equal(graphc.compile(graph)(x), function(x, **options))
            total = graphc.trace(lambda x, g=graph: np.sum(g(x)), "f64[n, 2, n]")
            value, grads = graphc.compile(total).value_and_grad(x)
            assert value == pytest.approx(np.sum(function(x, **options)))
            # An element counts where the initial value does not.
            folded = function(x, **options)
            assert grads.x.sum() == np.sum(np.isin(folded, x))


def test_an_initial_value_shares_with_its_equals():
    graph = graphc.trace(lambda x, start: np.max(x, initial=start), "f64[n]", "f64")
    _, grads = graphc.compile(graph).value_and_grad(np.array([2.0, 1.0, 2.0]), 2.0)
    np.testing.assert_allclose(grads.x, [1 / 3, 0, 1 / 3])
    assert grads.start == pytest.approx(1 / 3)


@pytest.mark.parametrize("size", ["9", "n"])
@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum], ids=lambda ufunc: ufunc.__name__)
def test_extremes_so_far_are_exact(ufunc, size):
    """Large cotangents of one run leave no trace in another, ties are shared as by the fold."""
    x = np.array([1.0, 3.0, 2.0, 3.0, 5.0, 5.0, 4.0, 7.0, 0.5])
    if ufunc is np.minimum:
        x = -x
    d = np.array([1e-9, 1.0, 2.0, 3.0, 1e17, -1e17, 1e17, 0.25, 3e-12])
    compiled = graphc.compile(graphc.trace(lambda x: ufunc.accumulate(x), f"f64[{size}]"))
    out, saved = compiled.forward(x)
    np.testing.assert_array_equal(out, ufunc.accumulate(x))
    wanted = np.zeros(9)
    for k in range(9):
        same = x[: k + 1] == out[k]
        wanted[: k + 1][same] += d[k] / same.sum()
    np.testing.assert_allclose(compiled.backward(saved, d).x, wanted, rtol=1e-15)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 65, 100, 2100])
@pytest.mark.parametrize("named", [False, True], ids=["known", "named"])
def test_running_products_of_any_length(length, named):
    """Their adjoint is solved in blocks; here it is one step after the other."""
    x = 1 + 0.3 * RNG.normal(size=length)
    x[length // 2 : length // 2 + 1] = 0.0
    d = RNG.normal(size=length)
    size = "n" if named else length
    compiled = graphc.compile(graphc.trace(lambda x: np.cumprod(x), f"f64[{size}]"))
    _, saved = compiled.forward(x)
    wanted, total = np.zeros(length), 0.0
    before = np.cumprod(np.append(1.0, x[:-1]))
    for j in reversed(range(length)):
        total = d[j] + (x[j + 1] * total if j + 1 < length else 0.0)
        wanted[j] = before[j] * total
    np.testing.assert_allclose(compiled.backward(saved, d).x, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("size", ["70", "n"])
def test_extremes_so_far_of_long_axes(size):
    x = np.round(RNG.normal(size=(70, 2)), 1)
    d = RNG.normal(size=(70, 2))
    compiled = graphc.compile(graphc.trace(lambda x: np.minimum.accumulate(x), f"f64[{size}, 2]"))
    out, saved = compiled.forward(x)
    wanted = np.zeros((70, 2))
    for k in range(70):
        same = x[: k + 1] == out[k]
        wanted[: k + 1] += same * (d[k] / same.sum(axis=0))
    np.testing.assert_allclose(compiled.backward(saved, d).x, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_search_in_a_named_size_takes_linear_memory(side):
    compiled = graphc.compile(
        graphc.trace(lambda x, v: np.searchsorted(x, v, side), "f64[n]", "f64[m, 3]")
    )
    assert "[:, None]" not in compiled.source  # no table of all pairs
    for n, m in ((0, 2), (1, 1), (5, 4), (40, 30), (3, 0)):
        x = np.sort(np.round(RNG.normal(size=n), 1))
        v = np.round(RNG.normal(size=(m, 3)), 1)
        if m > 1:
            v[0] = [np.nan, np.inf, -np.inf]
        found = compiled(x, v)
        np.testing.assert_array_equal(found, np.searchsorted(x, v, side))
        assert found.dtype == np.int64


KEYS = [
    (slice(0, 2), np.array([0, 2, 2])),
    (np.array([0, 2]), slice(None, None, 2)),
    (None, np.array([1, 1]), slice(1, 3)),
    (np.array([0, 1]), None, slice(1, 2)),
    (..., np.array([3, 1])),
]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
@pytest.mark.parametrize("mode", ["set", "add"])
def test_writing_at_slices_beside_index_arrays(key, mode):
    def function(x):
        return getattr(graphc.at(x * x)[key], mode)(x[0, 0])

    expected = X * X
    if mode == "set":
        expected[key] = X[0, 0]
    else:
        np.add.at(expected, key, X[0, 0])
    np.testing.assert_allclose(graphc.compile(graphc.trace(function, X))(X), expected)
    assert graphc.check_grads(graphc.trace(lambda x: np.sum(function(x) * X), X), X).ok


METHODS = [
    lambda x: x.argsort(axis=0), lambda x: x.argpartition(1, axis=1)[:, 1],
    lambda x: x[0].argsort()[::-1], lambda x: np.sort(x[0]).searchsorted(x),
    lambda x: x.take([1, 9], axis=1, mode="clip"), lambda x: x.conj() + x.conjugate(),
    lambda x: x.real + x.imag, lambda x: (x > 0).choose([x, 2 * x]),
    lambda x: x.sum(axis=0, where=x > 0, initial=1.0), lambda x: x.std(ddof=1, keepdims=True),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=range(len(METHODS)))
def test_methods(method):
    assert_same(graphc.compile(graphc.trace(method, X))(X), np.asarray(method(X)), X)


@pytest.mark.parametrize(
    ("call", "fix"),
    [
        (lambda x: x.sort(), "use np.sort(x)"),
        (lambda x: x.partition(1), "use np.partition(x, kth)"),
        (lambda x: x.fill(0), "use np.full_like(x, value)"),
        (lambda x: x.put(0, 1), "use graphc.at(x)[i].set(v)"),
        (lambda x: x.resize(3), "use np.resize(x, shape)"),
        (lambda x: x.nonzero(), "a shape cannot depend on values"),
        (lambda x: np.compress(x > 0, x), "a shape cannot depend on values; use np.where"),
        (lambda x: np.repeat(x, np.sum(x)), "a shape cannot depend on values"),
        (lambda x: np.pad(x, 1, mode="empty"), "mode='empty' is not traced"),
        (lambda x: np.interp(x, x, x, period=0), "the period is a number, and not 0"),
        (lambda x: np.quantile(x, 0.5, method="next"), "method='next' is none of linear, "),
        (lambda x: np.quantile(x, 0.5, weights=x, method="inverted_cdf"), "leave it out"),
        (lambda x: np.maximum.accumulate(x, axis=1), "axis 1 is out of range"),
        (lambda x: np.maximum.reduceat(x, [0, 1]), "maximum.reduceat is not traced"),
        (lambda x: np.geomspace(x, 1.0, 2.5), "the number of points is an int, got 2.5"),
        (lambda x: graphc.clip(x, 0, 1, edge=0.5), "the gradient at an edge is 0 or 1"),
        (lambda x: np.quantile(x, 1.5), "q lies between 0 and 1"),
        (lambda x: np.max(x, where=x > 0), "where= needs initial="),
        (lambda x: np.sum(x, where=np.ones((5, 5), bool)), "does not broadcast"),
        (lambda x: np.cross(x, x), "has not three components"),
    ],
)
def test_refusals_name_the_fix(call, fix):
    with pytest.raises(graphc.GraphError) as caught:
        graphc.trace(call, "f64[4]")
    assert fix in str(caught.value)


# -- the whole namespace ---------------------------------------------------------------------------


def test_every_traced_function_has_a_row():
    functions = {
        name for name in np.__all__
        if isinstance(getattr(np, name), type(np.sum)) and getattr(np, name) in FUNCTIONS
    }  # fmt: skip
    assert functions - set(TABLE) == set()


REFUSED = [row for row in table.rows() if row.kind == "refused"]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_the_others_say_so(row):
    """Called with values for all that it requires, a refused function raises a GraphError."""
    function = np
    for part in row.name.split(".")[1:]:
        function = getattr(function, part)
    arguments = required(function)
    with pytest.raises(graphc.GraphError):
        function(*arguments)


def required(function):
    """A value for each argument that must be given, and a file where a file is wanted."""
    value = graphc.Builder("probe").input("x", "f64[3, 3]")
    if isinstance(function, np.ufunc):
        return [value] * function.nin
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    return [io.BytesIO() if name in ("file", "fname") else value for name in names]


CONVERSIONS = [np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray,
               np.require, np.eye, np.arange, np.identity, np.tri]  # fmt: skip


@pytest.mark.parametrize("function", CONVERSIONS, ids=lambda function: function.__name__)
def test_what_needs_numbers_says_so(function):
    with pytest.raises(graphc.GraphError):
        graphc.trace(function, "f64")


def test_the_page_is_current():
    assert table.main(["--check"]) == 0, "run python -m graphc.dispatch.table"


def test_the_counts_are_current_and_nothing_is_wrong():
    from tests.coverage import report

    assert report.main(["--check"]) == 0, "run python -m tests.coverage.report"
    assert [name for name, outcome in report.promotions() if outcome == "wrong"] == []


def test_most_of_numpy_is_traced():
    kinds = [row.kind for row in table.rows() if row.name.count(".") == 1]
    assert kinds.count("traced") >= 250
    assert kinds.count("refused") <= 75


def test_infinities_are_compared_without_a_warning():
    a, b = np.array([np.inf, 1.0, -np.inf]), np.array([np.inf, np.inf, 1.0])
    compiled = graphc.compile(
        graphc.trace(lambda a, b: np.isclose(a, b, rtol=0), "f64[3]", "f64[3]")
    )
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(compiled(a, b), [True, False, False])


def test_the_largest_of_no_elements_is_an_error():
    compiled = graphc.compile(graphc.trace(lambda x: np.nanmax(x), "f64[n]"))
    assert np.isnan(compiled(np.array([np.nan])))
    with pytest.raises(ValueError, match="zero-size array"):
        compiled(np.zeros(0))
