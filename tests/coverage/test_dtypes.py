"""Every ufunc and fold on every dtype: the value, shape and dtype are NumPy's, or an error says so.

The functions are read off NumPy's own namespace, so that what is traced later is tested, too.
"""

import itertools

import numpy as np
import pytest

import graphc
from graphc.types import DTYPES
from tests.coverage.test_numpy_api import ROWS, expected_of, weighted
from tests.table.test_edges import widest

RNG = np.random.default_rng(5)
OURS = [np.dtype(dtype) for dtype in DTYPES.values()]
SCALARS = [2, -3, 1.5, True, np.float32(2.5), np.int32(3), np.float64(0.5), np.array(2.5, "f4")]


def array(dtype, shape=(3, 3)):
    if dtype == "bool":
        return RNG.random(shape) > 0.5
    values = RNG.normal(size=shape) * 2 if DTYPES[dtype].kind == "f" else RNG.integers(-4, 5, shape)
    return values.astype(DTYPES[dtype])


def compare(function, *arrays):
    """The call's outcome beside NumPy's; where NumPy raises, so do we, if only at the call."""
    with np.errstate(all="ignore"):
        try:
            wanted = np.asarray(function(*arrays))
        except (TypeError, ValueError):
            with pytest.raises((graphc.GraphError, TypeError, ValueError)):
                graphc.compile(graphc.trace(function, *arrays), cache=False)(*arrays)
            return
        if wanted.dtype not in OURS:
            return  # bools and bytes make int8 and float16, which graphs do not have
        try:
            graph = graphc.trace(function, *arrays)
        except graphc.GraphError as error:
            # Refused: bits, bools in sums of products, integers where NumPy's own are of no use.
            if any(reason in str(error) for reason in REASONS):
                return
            raise
        found = np.asarray(graphc.compile(graph, cache=False)(*arrays))
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    tolerance = 2e-5 if wanted.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


REASONS = (
    *("not traced", "bits are not traced", "bool operand", "bool subtract", "no bools"),
    *("NumPy's is an integer", "holds no average", "where= needs initial="),
)


def ufuncs(arity):
    """NumPy's ufuncs of so many operands that make one array of their operands' shape."""
    found = {
        getattr(np, name) for name in np.__all__
        if isinstance(getattr(np, name), np.ufunc)
    }  # fmt: skip
    plain = [f for f in found if f.nin == arity and f.nout == 1 and f.signature is None]
    return sorted(plain, key=lambda f: f.__name__)


@pytest.mark.parametrize("ufunc", ufuncs(1), ids=lambda f: f.__name__)
def test_ufuncs_of_one_operand(ufunc):
    for dtype in DTYPES:
        if (ufunc, dtype) != (np.positive, "bool"):  # x itself, which NumPy has not for bools
            compare(lambda x: ufunc(x), array(dtype))


@pytest.mark.parametrize("ufunc", ufuncs(2), ids=lambda f: f.__name__)
def test_ufuncs_of_two_operands(ufunc):
    for one, other in itertools.product(DTYPES, DTYPES):
        compare(lambda x, y: ufunc(x, y), array(one), array(other, (3,)))


@pytest.mark.parametrize("ufunc", ufuncs(2), ids=lambda f: f.__name__)
def test_ufuncs_beside_numbers(ufunc):
    """A Python number is weak, a NumPy scalar is not."""
    for dtype, scalar in itertools.product(DTYPES, SCALARS):
        compare(lambda x, s=scalar: ufunc(x, s), array(dtype))
        compare(lambda x, s=scalar: ufunc(s, x), array(dtype))


FOLDS = """
    sum prod mean var std nansum nanprod nanmean nanvar nanstd cumsum cumprod nancumsum nancumprod
    max min ptp median nanmax nanmin nanmedian any all count_nonzero argmax argmin nanargmax
    nanargmin sort argsort average trapezoid diff gradient ediff1d round nan_to_num angle real
    imag sinc i0 fix trace unwrap cov corrcoef diag tril flip linalg.norm linalg.det linalg.inv
"""
TYPED = {
    *("sum", "prod", "mean", "var", "std", "cumsum", "cumprod"),
    *("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "trace"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FOLDS.split())
def test_functions_of_one_array(name):
    function = np
    for part in name.split("."):
        function = getattr(function, part)
    for dtype in DTYPES:
        x = array(dtype)
        compare(lambda x: function(x), x)
        if name not in TYPED:
            continue
        for wanted in (np.float32, np.float64, np.int32, np.int64):
            if name in ("nanvar", "nanstd") and (dtype, wanted) == ("f32", np.float64):
                continue  # NumPy squares in f32 before it converts
            compare(lambda x, wanted=wanted: function(x, dtype=wanted), x)


PAIRS = {
    "matmul": lambda x, y: x @ y,
    "dot": lambda x, y: np.dot(x, y[0]),
    "where": lambda x, y: np.where(x > 0, x, y),
    "concatenate": lambda x, y: np.concatenate([x, y]),
    "outer": lambda x, y: np.outer(x, y),
    "einsum": lambda x, y: np.einsum("ij,kj->ik", x, y),
    "tensordot": lambda x, y: np.tensordot(x, y, 1),
    "kron": lambda x, y: np.kron(x, y),
    "inner": lambda x, y: np.inner(x, y),
    "vdot": lambda x, y: np.vdot(x, y),
    "convolve": lambda x, y: np.convolve(x[0], y[0, :2]),
    "select": lambda x, y: np.select([x > 0], [x], y),
    "append": lambda x, y: np.append(x, y),
    "interp": lambda x, y: np.interp(x, np.arange(3.0), y[0]),
    "searchsorted": lambda x, y: np.searchsorted(np.sort(x[0]), y),
    "isin": lambda x, y: np.isin(x, y),
    "linspace": lambda x, y: np.linspace(x, y, 3),
    "full_like": lambda x, y: np.full_like(x, y[0, 0]),
    "polyval": lambda x, y: np.polyval(x[0], y),
    "average": lambda x, y: np.average(x, weights=np.abs(y) + 1),
    "quantile": lambda x, y: np.quantile(x, 0 * np.clip(y[0, 0], 0, 1)),
    "cross": lambda x, y: np.cross(x, y),
    "divmod": lambda x, y: np.divmod(x, y)[0],
    "ldexp": lambda x, y: np.ldexp(x, y),
    "insert": lambda x, y: np.insert(x, 1, y[0], axis=0),
    "choose": lambda x, y: np.choose(np.abs(x) % 2, [y, y * 2]),
    "power": lambda x, y: x ** np.abs(y),
    "max": lambda x, y: np.max(x, initial=y[0, 0]),
    "sum": lambda x, y: np.sum(x, initial=y[0, 0]),
    "trapezoid": lambda x, y: np.trapezoid(x, y),
}


@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_two_arrays(name):
    for one, other in itertools.product(DTYPES, DTYPES):
        if name == "quantile" and one == "bool":
            continue  # between bools NumPy has none, we have f64
        compare(PAIRS[name], array(one), array(other))


# -- single precision ------------------------------------------------------------------------------


def single_rows():
    """The rows whose result is f32 where the operand is."""
    for row in ROWS:
        operand, call = row.values
        if operand.dtype != np.float64 or row.id.startswith(DOUBLE_WITHIN):
            continue
        finite = np.where(np.isfinite(operand), operand, 0.5).astype(np.float32)
        if expected_of(call, finite).dtype == np.float32:
            yield pytest.param(finite, call, id=row.id)


# Positions among sorted elements, and distances of f64 points, are f64 in NumPy, too.
DOUBLE_WITHIN = ("nanquantile", "nanpercentile", "gradient-2", "gradient-3")


@pytest.mark.parametrize(("operand", "call"), list(single_rows()))
def test_nothing_in_between_is_wider(operand, call):
    """Of f32 operands nothing in the emitted code is computed in f64, forward or backward."""
    value = graphc.compile(graphc.trace(lambda x: call(np, x), operand))
    scalar = graphc.compile(graphc.trace(weighted(call, operand), operand))
    for compiled, name in ((value, "value"), (scalar, "value_and_grad")):
        source = compiled.source  # the module of this source, from here on
        given = {
            name: array for name, array in vars(compiled._module).items()
            if isinstance(array, np.ndarray)
        }  # fmt: skip
        _, seen = widest(source, name, operand, constants=given)
        assert np.dtype(np.float64) not in seen
