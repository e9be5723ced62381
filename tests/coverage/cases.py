"""NumPy's functions, each with calls of it: (operand, call) by the function's name.

A call is given the namespace first, so that the same row runs on NumPy, in a trace, and on another
differentiating NumPy. What else it needs are the constants below.
"""

import numpy

RNG = numpy.random.default_rng(3)
X = RNG.normal(size=(3, 4))
B = RNG.normal(size=(2, 3, 4))
V = RNG.normal(size=9)
S = RNG.normal(size=(3, 3))
P = numpy.abs(X) + 0.5
M = X > 0
W = numpy.arange(1, 5.0)
HOLES = numpy.where(X > 1, numpy.nan, X)
N = RNG.integers(0, 3, size=(3, 4))
K = numpy.array([2, 0, 1, 1])
KNOTS = numpy.array([-1.3, 0.1, 0.5, 2.0])
LONG = numpy.sort(RNG.normal(size=40))
SPECIAL = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 1.5])


def over(name, *options):
    """Calls of a fold: over all elements, an axis, several, and with further options."""
    fixed = [{}, {"axis": 0}, {"axis": -1}, {"axis": (0, -1), "keepdims": True}]
    return [
        (B, lambda np, x, o=o: getattr(np, name)(x, **o)) for o in (*fixed, *options)
    ]  # fmt: skip


def along(name, operand=B, **options):
    """Calls of a function of one axis."""
    return [
        (operand, lambda np, x, a=axis: getattr(np, name)(x, axis=a, **options))
        for axis in (None, 0, -1)
    ]


def plain(name, *operands):
    """Calls with the operand alone."""
    return [(x, lambda np, x: getattr(np, name)(x)) for x in operands]


def joined(name):
    """Calls with a list of operands."""
    return [
        (x, lambda np, x: getattr(np, name)([x, 2 * x, x])) for x in (X, V, B)
    ]  # fmt: skip


WHERE = {"where": M, "axis": 1}
ONES = numpy.ones((2, 3, 4), dtype=bool)
SOME = B > -1.0
MODES = ("edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "mean", "minimum")
QUANTILES = (
    *("linear", "hazen", "weibull", "median_unbiased", "normal_unbiased", "midpoint", "lower"),
    *("interpolated_inverted_cdf", "averaged_inverted_cdf", "inverted_cdf", "higher", "nearest"),
    "closest_observation",
)

FOLDS = {
    "sum": over("sum", {"where": SOME, "initial": 2.0}, {"axis": ()}, {"dtype": numpy.float32}),
    "prod": over("prod", {"where": SOME, "initial": 3, "axis": 1}),
    "mean": over("mean", {"where": SOME, "axis": 1}),
    "max": over("max", {"where": SOME, "initial": -9, "axis": 1}, {"initial": 0.2}),
    "min": over("min", {"where": SOME, "initial": 9, "axis": 1}),
    "amax": plain("amax", X),
    "amin": plain("amin", X),
    "ptp": over("ptp"),
    "var": over("var", {"ddof": 1}, {"ddof": 1.5, "where": ONES}, {"correction": 1, "axis": 1}),
    "std": over("std", {"ddof": 1, "axis": 1}, {"where": SOME}),
    "median": [*over("median"), *plain("median", V, HOLES)],
    "quantile": [
        (X, lambda np, x: np.quantile(x, 0.3)),
        (X, lambda np, x: np.quantile(x, [0.2, 0.7], axis=0, keepdims=True)),
        (B, lambda np, x: np.quantile(x, [[0.25, 1.0]], axis=(0, 2))),
        *[
            (x, lambda np, x, m=m: np.quantile(x, [0.0, 0.2, 0.5, 0.9, 1.0], axis=0, method=m))
            for m in QUANTILES
            for x in (V, N)
        ],
        *[(N, lambda np, x, q=q: np.quantile(x, q)) for q in (0, 1, 0.0)],
    ],
    "percentile": [
        *[(X, lambda np, x, m=m: np.percentile(x, [9, 50, 77.5], 1, method=m)) for m in QUANTILES],
        (X, lambda np, x: np.percentile(x, [[30, 60]], axis=(0, 1))),
    ],
    "average": [
        (X, lambda np, x: np.average(x)),
        (X, lambda np, x: np.average(x, axis=1, weights=W)),
        (X, lambda np, x: np.average(x, axis=0, weights=P, keepdims=True)),
        (X, lambda np, x: np.average(x, axis=1, weights=W, returned=True)[1] + x[:, 0]),
    ],
    "any": [*over("any"), (X, lambda np, x: np.any(x > 0, axis=1, where=M))],
    "all": [*over("all"), (X, lambda np, x: np.all(x > 0, where=M))],
    "count_nonzero": [(N, lambda np, x: np.count_nonzero(x, axis=0, keepdims=True))],
    "argmax": along("argmax", keepdims=True),
    "argmin": along("argmin"),
    "logaddexp.reduce": [
        (X, lambda np, x: np.logaddexp.reduce(x)),
        (X, lambda np, x: np.logaddexp.reduce(x, axis=1, keepdims=True)),
        (V, lambda np, x: np.logaddexp.reduce(1000 * x)),
    ],
    "cumsum": along("cumsum"),
    "cumprod": along("cumprod"),
    "cumulative_sum": [(X, lambda np, x: np.cumulative_sum(x, axis=1, include_initial=True))],
    "cumulative_prod": [(V, lambda np, x: np.cumulative_prod(x, include_initial=True))],
    **{
        name: [*plain(name, HOLES, X, N),
               (HOLES, lambda np, x, f=name: getattr(np, f)(x, axis=-1))]
        for name in ("nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd",
                     "nanmedian", "nanargmax", "nanargmin", "nancumsum", "nancumprod")
    },
    "nanquantile": [
        (HOLES, lambda np, x: np.nanquantile(x, [0.2, 0.7], axis=1, keepdims=True)),
        *[
            (HOLES, lambda np, x, m=m: np.nanquantile(x, [0.25, 0.6], axis=1, method=m))
            for m in QUANTILES
        ],
    ],
    "nanpercentile": [(HOLES, lambda np, x: np.nanpercentile(x, 40, axis=0))],
}  # fmt: skip

SORTS = {
    "maximum.accumulate": [
        *[(B, lambda np, x, k=k: np.maximum.accumulate(x, axis=k)) for k in (0, 1, -1)],
        (N, lambda np, x: np.maximum.accumulate(x)),
        (HOLES, lambda np, x: np.maximum.accumulate(x, axis=1)),
    ],
    "minimum.accumulate": [
        (B, lambda np, x: np.minimum.accumulate(x, -1)),
        (V, lambda np, x: np.minimum.accumulate(x)),
    ],
    "sort": [*along("sort"), (HOLES, lambda np, x: np.sort(x, 0))],
    "argsort": along("argsort"),
    "partition": [(X, lambda np, x: np.partition(x, 2, axis=1)[:, 2])],
    "argpartition": [(X, lambda np, x: np.argpartition(x, 1, axis=0)[1])],
    "lexsort": [(V, lambda np, x: np.lexsort((x, numpy.arange(9) % 2)))],
    "searchsorted": [
        (V, lambda np, x: np.searchsorted(KNOTS, x)),
        (V, lambda np, x: np.searchsorted(LONG, x, "right")),
        (LONG, lambda np, x: np.searchsorted(LONG, x, "left")),
        (SPECIAL, lambda np, x: np.searchsorted(LONG, x)),
    ],
    "digitize": [
        (V, lambda np, x: np.digitize(x, KNOTS)),
        (V, lambda np, x: np.digitize(x, KNOTS[::-1], right=True)),
    ],
    "isin": [
        (N, lambda np, x: np.isin(x, [0, 2])),
        (N, lambda np, x: np.isin(x, [1], invert=True)),
    ],
}

NEIGHBOURS = {
    "diff": [
        (X, lambda np, x: np.diff(x)),
        (X, lambda np, x: np.diff(x, 2, axis=0)),
        (V, lambda np, x: np.diff(x, prepend=0, append=[1, 2.0])),
    ],
    "ediff1d": [(X, lambda np, x: np.ediff1d(x, to_end=[1.0, 2], to_begin=3.0))],
    "gradient": [
        (X, lambda np, x: np.gradient(x)[0]),
        (X, lambda np, x: np.gradient(x, 2.0, axis=1, edge_order=2)),
        (X, lambda np, x: np.gradient(x, KNOTS, axis=-1, edge_order=2)),
        (X, lambda np, x: np.gradient(x, 0.5, KNOTS)[1]),
    ],
    "trapezoid": [
        (X, lambda np, x: np.trapezoid(x)),
        (X, lambda np, x: np.trapezoid(x, dx=0.5, axis=0)),
        (X, lambda np, x: np.trapezoid(x, KNOTS)),
    ],
    "interp": [
        (V, lambda np, x: np.interp(x, KNOTS, [1, 2, 0, 4.0])),
        (V, lambda np, x: np.interp(x, LONG, numpy.sin(LONG), left=-1, right=7)),
        (numpy.array([-9.0, 0.1, 2.0, 9.0]), lambda np, x: np.interp(KNOTS, x, [1, 2, 0, 4.0])),
        (W, lambda np, x: np.interp([-2, 0.3, 2.0, 5], KNOTS, x)),
        (5 * V, lambda np, x: np.interp(x, KNOTS, [1, 2, 0, 4.0], period=2.5)),
        (KNOTS[::-1] * 1.7, lambda np, x: np.interp(V, x, W, left=7.0, period=-3)),
        (W, lambda np, x: np.interp(5 * V, [190, -190, 350, -350], x, period=360)),
    ],
    **{
        name: [
            (V, lambda np, x, f=name, m=mode, k=k: getattr(np, f)(x, V[:k], m))
            for mode in ("full", "same", "valid")
            for k in (1, 2, 3, 9)
        ]
        + [(V, lambda np, x, f=name, m=mode: getattr(np, f)(x[:4], V, m)) for mode in ("same",)]
        for name in ("convolve", "correlate")
    },
    "polyval": [
        (V, lambda np, x: np.polyval([1, 2.0, 3], x)),
        (V, lambda np, x: np.polyval(x, 0.5)),
    ],
    "polyadd": [(V, lambda np, x: np.polyadd(x, [1.0, 2.0]))],
    "polysub": [(V, lambda np, x: np.polysub([1.0, 2.0], x))],
    "polyder": [(V, lambda np, x: np.polyder(x, 2))],
    "vander": [
        (KNOTS, lambda np, x: np.vander(x)),
        (KNOTS, lambda np, x: np.vander(x, 3, increasing=True)),
    ],
    "unwrap": [
        (numpy.cumsum(3 * V), lambda np, x: np.unwrap(x)),
        (5 * V, lambda np, x: np.unwrap(x, period=4)),
    ],
}

LAYOUTS = {
    "reshape": [
        (B, lambda np, x: np.reshape(x, (4, -1))),
        (B, lambda np, x: np.reshape(x, (4, -1), order="F")),
    ],
    "ravel": [(B, lambda np, x: np.ravel(x)), (B, lambda np, x: np.ravel(x, order="F"))],
    "transpose": [
        *plain("transpose", B, V),
        (B, lambda np, x: np.transpose(x, (1, -1, 0))),
    ],
    "permute_dims": [(B, lambda np, x: np.permute_dims(x, (2, 0, 1)))],
    "matrix_transpose": plain("matrix_transpose", B),
    "swapaxes": [(B, lambda np, x: np.swapaxes(x, 0, -1))],
    "moveaxis": [(B, lambda np, x: np.moveaxis(x, [0, 1], [-1, 0]))],
    "rollaxis": [
        (B, lambda np, x: np.rollaxis(x, 2)),
        (B, lambda np, x: np.rollaxis(x, 0, 3)),
        (B, lambda np, x: np.rollaxis(x, -1, 1)),
    ],
    "expand_dims": [(X, lambda np, x: np.expand_dims(x, (0, -1)))],
    "squeeze": [(X[:, :1], lambda np, x: np.squeeze(x, -1))],
    "broadcast_to": [(V, lambda np, x: np.broadcast_to(x, (2, 9)))],
    "broadcast_arrays": [(W, lambda np, x: np.broadcast_arrays(x, X)[0] * X)],
    "atleast_1d": [(V, lambda np, x: np.atleast_1d(x[0]))],
    "atleast_2d": plain("atleast_2d", V, B),
    "atleast_3d": plain("atleast_3d", V, X, B),
    "flip": along("flip"),
    "flipud": plain("flipud", B),
    "fliplr": plain("fliplr", B),
    "rot90": [
        *[(X, lambda np, x, k=k: np.rot90(x, k)) for k in range(-1, 4)],
        (B, lambda np, x: np.rot90(x, 1, (1, 2))),
    ],
    "roll": [
        (X, lambda np, x: np.roll(x, 5)),
        (X, lambda np, x: np.roll(x, (1, -2), axis=(0, 1))),
        (X, lambda np, x: np.roll(x, (1, 2), axis=-1)),
    ],
    "repeat": [
        (X, lambda np, x: np.repeat(x, 2)),
        (X, lambda np, x: np.repeat(x, [1, 0, 2], axis=0)),
    ],
    "tile": [(X, lambda np, x: np.tile(x, (2, 1, 3)))],
    "resize": [(X, lambda np, x: np.resize(x, (5, 4))), (X, lambda np, x: np.resize(x, 3))],
    "diag": [
        *[(x, lambda np, x, k=k: np.diag(x, k)) for k in (-2, 0, 1) for x in (V, X)],
    ],
    "diagflat": [(X, lambda np, x: np.diagflat(x, 1))],
    "diagonal": [(B, lambda np, x: np.diagonal(x, 1, -1, 0))],
    "tril": [(B, lambda np, x: np.tril(x, -1)), *plain("tril", V)],
    "triu": [(X, lambda np, x: np.triu(x, 1))],
    "pad": [
        (X, lambda np, x: np.pad(x, 1)),
        (X, lambda np, x: np.pad(x, 2, constant_values=((1, 2), (3, 4)))),
        *[
            (X, lambda np, x, m=mode, w=widths: np.pad(x, w, mode=m))
            for mode in (*MODES, "median")
            for widths in (1, ((1, 2), (0, 3)), ((5, 1), (2, 9)))
        ],
        (X, lambda np, x: np.pad(x, 2, mode="mean", stat_length=2)),
        (X, lambda np, x: np.pad(x, 2, mode="linear_ramp", end_values=((1, 2), (3, 4)))),
        (N, lambda np, x: np.pad(x, 1, mode="mean")),
    ],
}

JOINS = {
    **{
        name: joined(name)
        for name in ("concatenate", "concat", "stack", "vstack", "hstack", "dstack")
    },
    "column_stack": [(X, lambda np, x: np.column_stack([x, x[:, 0], x]))],
    "append": [
        (X, lambda np, x: np.append(x, x[0])),
        (X, lambda np, x: np.append(x, x, axis=-1)),
    ],
    "block": [
        (X, lambda np, x: np.block([[x, x * 2], [x[:1], x[1:2]]])),
        (X, lambda np, x: np.block([x[0], x[1]])),
    ],
    "split": [
        (X, lambda np, x: np.split(x, 2, axis=-1)[1]),
        (X, lambda np, x: np.split(x, [1, 3], axis=1)[1]),
    ],
    "array_split": [(B, lambda np, x, k=k: np.array_split(x, 3, axis=-1)[k]) for k in range(3)],
    "vsplit": [(X, lambda np, x: np.vsplit(x, 3)[1])],
    "hsplit": [(X, lambda np, x: np.hsplit(x, 2)[1]), (V, lambda np, x: np.hsplit(x, [2])[1])],
    "dsplit": [(B, lambda np, x: np.dsplit(x, [1, 2])[1])],
    "unstack": [(X, lambda np, x: np.unstack(x, axis=1)[2])],
    "insert": [
        (X, lambda np, x: np.insert(x, 1, 5.0, axis=1)),
        (X, lambda np, x: np.insert(x, [1, 3], 7, axis=1)),
        (X, lambda np, x: np.insert(x, 2, x[:, 0], axis=1)),
        (X, lambda np, x: np.insert(x, [2], [[1], [2.0], [3]], axis=1)),
        (V, lambda np, x: np.insert(x, slice(1, 4), [1, 2.0, 3])),
    ],
    "delete": [
        (X, lambda np, x: np.delete(x, [0, 2], axis=1)),
        (X, lambda np, x: np.delete(x, slice(0, 2))),
    ],
    "meshgrid": [
        (V, lambda np, x: np.meshgrid(x, x[:3])[0]),
        (V, lambda np, x: np.meshgrid(x, x[:3], indexing="ij")[1]),
        (V, lambda np, x: np.meshgrid(x, x[:3], x[:2], sparse=True)[0]),
    ],
}

SELECTIONS = {
    "take": [
        (X, lambda np, x: np.take(x, K, axis=0)),
        (X, lambda np, x: np.take(x, [5, -1], mode="wrap")),
        (X, lambda np, x: np.take(x, [5, -1], axis=1, mode="clip")),
    ],
    "take_along_axis": [(X, lambda np, x: np.take_along_axis(x, N, axis=1))],
    "choose": [
        (X, lambda np, x: np.choose(N, [x, x * 2, -1.0])),
        (X, lambda np, x: np.choose([0, 5, 1, 2], x, mode="wrap")),
        (N, lambda np, x: np.choose(x, [1.5, 2.5, 3.5])),
    ],
    "compress": [
        (X, lambda np, x: np.compress([True, False, True], x, axis=0)),
        (X, lambda np, x: np.compress([0, 1, 1, 1], x)),
    ],
    "extract": [(X, lambda np, x: np.extract(M, x))],
    "where": [(X, lambda np, x: np.where(x > 0, x, x * x))],
    "select": [(X, lambda np, x: np.select([x > 1, x > 0], [x * x, 2 * x], -1))],
    "ix_": [(V, lambda np, x: np.ix_(x, x[:2])[1])],
    "unravel_index": [
        (N, lambda np, x: np.unravel_index(x, (2, 2))[0]),
        (N, lambda np, x: np.unravel_index(x, (2, 2), order="F")[0]),
    ],
    "ravel_multi_index": [
        (N, lambda np, x: np.ravel_multi_index((x, x), (4, 5))),
        (N, lambda np, x: np.ravel_multi_index((x, x), (2, 5), mode="clip", order="F")),
    ],
    "tril_indices_from": [(X, lambda np, x: x[np.tril_indices_from(x)])],
    "triu_indices_from": [(X, lambda np, x: x[np.triu_indices_from(x, 1)])],
    "diag_indices_from": [(S, lambda np, x: x[np.diag_indices_from(x)])],
}

PRODUCTS = {
    "dot": [(X, lambda np, x: np.dot(x, B[0].T)), (X, lambda np, x: np.dot(x, W))],
    "vdot": [(X, lambda np, x: np.vdot(x, P))],
    "inner": [(X, lambda np, x: np.inner(x, P))],
    "outer": [(V, lambda np, x: np.outer(x, W))],
    "tensordot": [
        (B, lambda np, x: np.tensordot(x, X)),
        (B, lambda np, x: np.tensordot(x, X, axes=([1, -1], [0, 1]))),
    ],
    "einsum": [(X, lambda np, x: np.einsum("ij,kj->ik", x, x))],
    "trace": [(B, lambda np, x: np.trace(x, 1, -2, -1))],
    "kron": [
        (X, lambda np, x: np.kron(x, x[:2])),
        (V, lambda np, x: np.kron(x, X)),
        (X, lambda np, x: np.kron(B, x)),
    ],
    "cross": [
        (X, lambda np, x: np.cross(x[:, :3], x[:, 1:])),
        (X, lambda np, x: np.cross(x, [[1], [2], [3.0]], axis=0)),
        (X, lambda np, x: np.cross(x, x[::-1] * 2, axisa=0, axisb=0, axisc=0)),
    ],
    "cov": [
        *plain("cov", X, V),
        (X, lambda np, x: np.cov(x, rowvar=False, bias=True)),
        (V, lambda np, x: np.cov(x, LONG[:9])),
    ],
    "corrcoef": [*plain("corrcoef", X), (V, lambda np, x: np.corrcoef(x, LONG[:9]))],
}

ELEMENTS = {
    "clip": [
        (X, lambda np, x: np.clip(x, -0.5, 0.5)),
        (X, lambda np, x: np.clip(x, None, 0.5)),
    ],
    "round": [*plain("round", X), *[(50 * X, lambda np, x, d=d: np.round(x, d)) for d in (2, -1)]],
    "around": plain("around", X),
    "fix": plain("fix", X),
    "sinc": plain("sinc", X),
    "i0": plain("i0", X, N),
    "nan_to_num": [*plain("nan_to_num", SPECIAL, X)],
    "isclose": [
        (X, lambda np, x: np.isclose(x, X + 1e-9)),
        (SPECIAL, lambda np, x: np.isclose(x, SPECIAL[[0, 1, 1, 3]], equal_nan=True)),
    ],
    "allclose": [(X, lambda np, x: np.allclose(x, X))],
    "array_equal": [
        (X, lambda np, x: np.array_equal(x, x)),
        (X, lambda np, x: np.array_equal(x, V)),
    ],
    "array_equiv": [(X, lambda np, x: np.array_equiv(x, x[:1]))],
    **{
        name: plain(name, X)
        for name in ("real", "imag", "angle", "isreal", "iscomplex", "real_if_close", "copy",
                     "zeros_like", "ones_like")
    },
    "isposinf": plain("isposinf", SPECIAL),
    "isneginf": plain("isneginf", SPECIAL),
    "empty_like": [(X, lambda np, x: np.empty_like(x) * 0)],
    "full_like": [(X, lambda np, x: np.full_like(x, 2.5))],
    "astype": [(X, lambda np, x: np.astype(x, numpy.int64))],
    "linspace": [
        (X, lambda np, x: np.linspace(x, 2 * x + 1, 5)),
        (X, lambda np, x: np.linspace(x, 1, 5, endpoint=False, axis=-1)),
        (X, lambda np, x: np.linspace(x, 2 * x + 1, 5, dtype=int)),
        (X, lambda np, x: np.linspace(x, 1.0, 1)),
        (X, lambda np, x: np.linspace(x, 1.0, 0)),
    ],
    "logspace": [
        (X, lambda np, x: np.logspace(x, 2.0, 4)),
        (X, lambda np, x: np.logspace(-1, x, 5, endpoint=False, base=2, axis=1)),
        (P, lambda np, x: np.logspace(0, 1.5, 4, base=x)),
        (P, lambda np, x: np.logspace(0, x, 3, dtype=int)),
    ],
    "geomspace": [
        (P, lambda np, x: np.geomspace(x, 3.0, 5)),
        (P, lambda np, x: np.geomspace(-x, -2 * x[0], 4, endpoint=False, axis=1)),
        (P, lambda np, x: np.geomspace(x, 2 * x, 2, axis=-1)),
        (P, lambda np, x: np.geomspace(1.5, x, 1)),
    ],
    "shape": [(X, lambda np, x: x * np.shape(x)[0])],
    "ndim": [(X, lambda np, x: x * np.ndim(x))],
    "size": [(X, lambda np, x: x * np.size(x, 1))],
    "result_type": [(X, lambda np, x: x * np.result_type(x, 1.0).itemsize)],
    "iscomplexobj": [(X, lambda np, x: x * np.iscomplexobj(x))],
    "isrealobj": [(X, lambda np, x: x * np.isrealobj(x))],
}  # fmt: skip

TABLE = {
    **FOLDS, **SORTS, **NEIGHBOURS, **LAYOUTS, **JOINS, **SELECTIONS, **PRODUCTS, **ELEMENTS,
}  # fmt: skip
