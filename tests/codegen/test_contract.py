"""Contractions: what is recognised, and that the rest is right too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codegen
from codegen.types import ArrayType
from tests.codegen.compare import check
from tests.codegen.programs import Body, dim, function, inputs, program

N = dim("n")


def contraction(out, out_type, *args, **extents):
    """One contraction as a program: args are ("f64[n, k]", "i, k")."""
    variables = inputs(**{f"a{k}": type for k, (type, _) in enumerate(args)})
    body = Body()
    pairs = [(variables[f"a{k}"], text) for k, (_, text) in enumerate(args)]
    result = body.contract(out_type, out, *pairs, extents=extents, name="y")
    return program("p", function("f", variables, body, result))


def body_of(generated):
    """The lines of the function between its entry and its return."""
    lines = generated.unchecked.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("def f("))
    inside = [line.strip() for line in lines[start + 1 :] if line.strip()]
    return [line.partition("  #")[0] for line in inside if ".shape[" not in line]


NK = ("f64[n, k]", "i, k")
KM = ("f64[k, m]", "k, j")
SPELLED = [
    ("i, j", "f64[n, m]", [("f64[n, k]", "i, k"), ("f64[k, m]", "k, j")], "y = a0 @ a1"),
    ("i, j", "f64[n, m]", [("f64[k, n]", "k, i"), ("f64[k, m]", "k, j")], "y = a0.T @ a1"),
    ("i, j", "f64[n, m]", [("f64[n, k]", "i, k"), ("f64[m, k]", "j, k")], "y = a0 @ a1.T"),
    ("j, i", "f64[m, n]", [("f64[n, k]", "i, k"), ("f64[k, m]", "k, j")], "y = a1.T @ a0.T"),
    ("i", "f64[n]", [("f64[n, k]", "i, k"), ("f64[k]", "k")], "y = a0 @ a1"),
    ("", "f64", [("f64[n]", "i"), ("f64[n]", "i")], "y = a0.dot(a1)"),
    ("", "f64", [("f64[n, m]", "i, j"), ("f64[n, m]", "i, j")], "y = np.vdot(a0, a1)"),
    ("i, j", "f64[n, m]", [("f64[n]", "i"), ("f64[m]", "j")], "y = a0[:, None] * a1"),
    ("i", "f64[n]", [("f64[n, m]", "i, j")], "y = a0.sum(axis=1)"),
    ("", "f64", [("f64[n, m]", "i, j")], "y = a0.sum()"),
    ("j, i", "f64[m, n]", [("f64[n, m]", "i, j")], "y = a0.T"),
    ("", "f64", [("f64[n, n]", "i, i")], "y = a0.diagonal().sum()"),
    (
        "b, i, j",
        "f64[b, n, m]",
        [("f64[b, n, k]", "b, i, k"), ("f64[k, m]", "k, j")],
        "y = a0 @ a1",
    ),
    (
        "b, i, j",
        "f64[b, n, m]",
        [("f64[b, n, k]", "b, i, k"), ("f64[b, k, m]", "b, k, j")],
        "y = a0 @ a1",
    ),
    (
        "b, i, j",
        "f64[b, n, m]",
        [("f64[b, n, k]", "b, i, k"), ("f64[b, m, k]", "b, j, k")],
        "y = a0 @ a1.swapaxes(-2, -1)",
    ),
    (
        "b, i, j",
        "f64[b, 3, m]",
        [("f64[b, 3, 5]", "b, i, k"), ("f64[m, 5]", "j, k")],
        "y = (a0.reshape(3*b, 5) @ a1.T).reshape(b, 3, m)",  # one product for a stack of small ones
    ),
    ("b", "f64[b]", [("f64[b, k]", "b, k"), ("f64[b, k]", "b, k")], "y = np.vecdot(a0, a1)"),
]


@pytest.mark.parametrize(("out", "out_type", "args", "spelled"), SPELLED)
def test_recognised(out, out_type, args, spelled):
    generated = check(contraction(out, out_type, *args), n=3, m=4, k=5, b=2)
    assert spelled in body_of(generated), generated.unchecked


OTHERS = [
    # Broadcast: an index of the result that no factor has.
    ("i, j", "f64[n, 4]", [("f64[n]", "i")], {"j": 4}),
    ("j, i", "f64[4, n]", [("f64[n]", "i")], {"j": 4}),
    # A sum over an index that nothing mentions counts.
    ("i", "f64[n]", [("f64[n]", "i")], {"j": 4}),
    # Three and four factors.
    (
        "b, o",
        "f64[b, 5]",
        [("f64[b, 3]", "b, i"), ("f64[5, 3, 4]", "o, i, j"), ("f64[b, 4]", "b, j")],
        {},
    ),
    (
        "i, l",
        "f64[n, m]",
        [("f64[n, k]", "i, j"), ("f64[k, 3]", "j, k"), ("f64[3, m]", "k, l")],
        {},
    ),
    # Scalars among the factors, and nothing else.
    ("i", "f64[n]", [("f64", ""), ("f64[n]", "i"), ("f64", "")], {}),
    ("", "f64", [("f64", ""), ("f64", "")], {}),
    # Batch indices that do not come first.
    ("i, b", "f64[n, b]", [("f64[n, b, k]", "i, b, k"), ("f64[k, b]", "k, b")], {}),
    ("j", "f64[m]", [("f64[n, m]", "i, j"), ("f64[n, m]", "i, j")], {}),
    ("b, j", "f64[b, m]", [("f64[b, k]", "b, k"), ("f64[b, k, m]", "b, k, j")], {}),
    ("b, i", "f64[b, n]", [("f64[b, n, k]", "b, i, k"), ("f64[b, k]", "b, k")], {}),
    ("i, k, j", "f64[n, 3, m]", [("f64[n, 3, 2]", "i, k, l"), ("f64[m, 2]", "j, l")], {}),
    # Several summed indices, in different orders.
    ("o, n", "f64[4, n]", [("f64[4, 2, 3]", "o, c, p"), ("f64[n, 3, 2]", "n, p, c")], {}),
    ("d, e", "f64[3, 4]", [("f64[b, n, 3]", "b, t, d"), ("f64[b, n, 4]", "b, t, e")], {}),
    # Diagonals, read and written; constant positions.
    ("i, j", "f64[n, m]", [("f64[n, m, n]", "i, j, i")], {}),
    ("i, i", "f64[n, n]", [("f64[n]", "i")], {}),
    ("b, i, i", "f64[b, n, n]", [("f64[b, n]", "b, i")], {}),
    ("i", "f64[n]", [("f64[n, 4]", "i, 2")], {}),
    ("i, 2", "f64[n, 4]", [("f64[n]", "i")], {}),
    # Windows: strided, dilated, padded, reversed, read and written.
    ("h", "f64[5]", [("f64[12]", "2*h + p"), ("f64[3]", "p")], {"h": 5}),
    ("h", "f64[8]", [("f64[12]", "h + 2*p"), ("f64[3]", "p")], {"h": 8}),
    ("h", "f64[12]", [("f64[12]", "h + p - 1"), ("f64[3]", "p")], {"h": 12}),
    ("h", "f64[n]", [("f64[n]", "h + p - 1"), ("f64[3]", "p")], {"h": N}),
    ("h", "f64[14]", [("f64[12]", "h - p"), ("f64[3]", "p")], {"h": 14}),
    ("h", "f64[6]", [("f64[12]", "2*h + 1")], {"h": 6}),
    ("2*h + p", "f64[11]", [("f64[5]", "h"), ("f64[3]", "p")], {}),
    ("h + p - 1", "f64[5]", [("f64[5]", "h"), ("f64[3]", "p")], {}),
    ("h + p - 1", "f64[n]", [("f64[n]", "h"), ("f64[3]", "p")], {}),
    ("2*h + 1", "f64[12]", [("f64[6]", "h")], {}),
    ("h - p + 2", "f64[7]", [("f64[5]", "h"), ("f64[3]", "p")], {}),
]


@pytest.mark.parametrize(("out", "out_type", "args", "extents"), OTHERS)
def test_agrees(out, out_type, args, extents):
    check(contraction(out, out_type, *args, **extents), n=3, m=4, k=5, b=2)


def convolution(stride, pad, dilation=1, size=7, kernel=3):
    """(forward, d_x, d_w) of a 2-D convolution, as three contractions."""
    reach = dilation * (kernel - 1) + 1
    out = (size + 2 * pad - reach) // stride + 1
    x, w, y = (
        f"f64[b, 3, {size}, {size}]",
        f"f64[4, 3, {kernel}, {kernel}]",
        f"f64[b, 4, {out}, {out}]",
    )
    at = "n, c, " + ", ".join(f"{stride}*{i} + {dilation}*{j} - {pad}" for i, j in ("hp", "wq"))
    extents = {"h": out, "w": out, "p": kernel, "q": kernel}
    return [
        contraction("n, o, h, w", y, (x, at), (w, "o, c, p, q"), **extents),
        contraction(at, x, (y, "n, o, h, w"), (w, "o, c, p, q"), **extents),
        contraction("o, c, p, q", w, (x, at), (y, "n, o, h, w"), **extents),
    ]


@pytest.mark.parametrize(
    ("stride", "pad", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2), (3, 0, 1)]
)
def test_convolution(stride, pad, dilation):
    for made in convolution(stride, pad, dilation):
        check(made, b=2)


def test_convolution_is_a_matrix_product():
    forward, d_x, d_w = [codegen.generate(made).source for made in convolution(2, 1)]
    for source in (forward, d_x, d_w):
        assert " @ " in source
        assert "einsum" not in source
    assert "for p in range(3):" in d_x
    assert "+=" in d_x


@pytest.mark.parametrize("dtype", ["f32", "i64"])
def test_dtypes(dtype):
    made = contraction(
        "i, j", f"{dtype}[n, m]", (f"{dtype}[n, k]", "i, k"), (f"{dtype}[k, m]", "k, j")
    )
    check(made, n=3, m=4, k=5, rtol=1e-5)
    made = contraction("i, j", f"{dtype}[n, m]", ("bool[n, k]", "i, k"), (f"{dtype}[k, m]", "k, j"))
    check(made, n=3, m=4, k=5, rtol=1e-5)


def test_mask_in_a_product_stays_a_mask():
    made = contraction("i, j", "f64[n, m]", ("f64[n, m]", "i, j"), ("bool[n, m]", "i, j"))
    assert "y = a0 * a1" in body_of(check(made, n=3, m=4))


NAMES = "ijkl"


@st.composite
def products(draw):
    """Random products of up to three factors with bare indices."""
    sizes = {name: draw(st.integers(1, 4)) for name in NAMES}
    factors = []
    for _ in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
        factors.append((f"f64[{', '.join(str(sizes[n]) for n in names)}]", ", ".join(names)))
    out = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
    out_type = ArrayType("f64", tuple(sizes[n] for n in out))
    return contraction(", ".join(out), out_type, *factors, **sizes)


@settings(max_examples=150, deadline=None)
@given(products())
def test_any_product(made):
    check(made)


@st.composite
def windows(draw):
    """Random affine indices on an argument or on the result."""
    extents = {name: draw(st.integers(1, 3)) for name in "ijk"}

    def index():
        names = draw(st.lists(st.sampled_from("ijk"), min_size=0, max_size=2, unique=True))
        parts = [f"{draw(st.sampled_from([-2, -1, 1, 2, 3]))}*{name}" for name in names]
        return " + ".join([*parts, str(draw(st.integers(-2, 4)))])

    rank = draw(st.integers(1, 2))
    shape = ", ".join(str(draw(st.integers(1, 5))) for _ in range(rank))
    affine = ", ".join(index() for _ in range(rank))
    other = ("f64[" + ", ".join(str(n) for n in extents.values()) + "]", "i, j, k")
    if draw(st.booleans()):
        return contraction(affine, f"f64[{shape}]", other, **extents)
    out = draw(st.lists(st.sampled_from("ijk"), max_size=2, unique=True))
    out_type = ArrayType("f64", tuple(extents[n] for n in out))
    factors = [(f"f64[{shape}]", affine)] + ([other] if draw(st.booleans()) else [])
    return contraction(", ".join(out), out_type, *factors, **extents)


@settings(max_examples=150, deadline=None)
@given(windows())
def test_any_window(made):
    check(made)
