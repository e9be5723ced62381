"""Matrix functions in graph files: what is written reads back as the same graph."""

import numpy as np
import pytest

import graphc
from graphc import nodes
from graphc.canonical import digest
from graphc.freeze import freeze
from graphc.matrices import results
from graphc.ops.linalg import LINALG
from graphc.types import array_type

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("op", LINALG.values(), ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_every_op_reads_back(op, dtype):
    sizes = [(5, 3), (5, 2)] if op.name in ("lstsq", "qr", "svd", "pinv") else [(3, 3), (3, 2)]
    inputs = [
        nodes.input_(f"x{k}", array_type(dtype, size))
        for k, size in enumerate(sizes[: len(op.args)])
    ]
    outputs = [(f"y{k}", node) for k, node in enumerate(results(op, *inputs))]
    graph = freeze("g", inputs, outputs)
    assert digest(graphc.loads(graphc.dumps(graph))) == digest(graph)


def test_gradients_read_back():
    def function(a):
        w, v = np.linalg.eigh(a @ a.T)
        return (w * v[0]).sum() + np.linalg.slogdet(a).logabsdet

    graph = graphc.value_and_grad(graphc.trace(function, "f64[4, 4]"))
    again = graphc.loads(graphc.dumps(graph))
    assert digest(again) == digest(graph)
    a = RNG.normal(size=(4, 4))
    np.testing.assert_array_equal(again(a)[1], graph(a)[1])


def test_a_file_as_people_write_it():
    graph = graphc.loads(
        """
        graphc = 1
        name = "evidence"
        [inputs]
        K = "f64[n, n]"
        y = "f64[n]"
        [nodes]
        fit = "y @ solve(K, y)"
        size = "slogdet(K, result='l')"
        largest = "norm(eigvalsh(K), 2)"
        [outputs]
        evidence = "-0.5 * (fit + size) + 0 * largest"
        """
    )
    y = RNG.normal(size=3)
    K = 2 * np.eye(3)
    np.testing.assert_allclose(graph(K, y), -0.25 * y @ y - 1.5 * np.log(2), rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("eigh(A)", "eigh: result=None; it has 'w', 'V'"),
        ("eigh(A, result='U')", "eigh: result='U'; it has 'w', 'V'"),
        ("inv(A, A)", "inv takes 1 operands"),
        ("inv(A[0])", "has fewer than 2 axes"),
    ],
)
def test_errors_in_a_file(formula, message):
    text = f'graphc = 1\n[inputs]\nA = "f64[2, 2]"\n[outputs]\nf = "{formula}"\n'
    with pytest.raises(graphc.GraphError) as raised:
        graphc.loads(text)
    assert message in str(raised.value)


def test_printed_for_people():
    def function(a):
        w, v = np.linalg.eigh(a)
        return (w * v[0]).sum() + np.linalg.inv(a).sum()

    text = str(graphc.trace(function, "f64[2, 2]"))
    assert "eigh(a).w" in text
    assert "eigh(a).V" in text
    assert "inv(a)" in text
