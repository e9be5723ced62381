"""Formulas on scalars and vectors: neuron, a large scalar graph, Rosenbrock, logistic, chains."""

from __future__ import annotations

import math

import numpy as np

import graphc

from .case import Case, everywhere, namespace, random


def neuron() -> Case:
    """The sigmoid neuron, five scalars."""

    def model(w0, x0, w1, x1, w2):
        return graphc.sigmoid(w0 * x0 + w1 * x1 + w2)

    def formula(xp):
        return lambda w0, x0, w1, x1, w2: 1 / (1 + xp.exp(-(w0 * x0 + w1 * x1 + w2)))

    def hand(w0, x0, w1, x1, w2):
        s = 1.0 / (1.0 + math.exp(-(w0 * x0 + w1 * x1 + w2)))
        d = s * (1.0 - s)
        return s, (d * x0, d * w0, d * x1, d * w1, d)

    names = ("w0", "x0", "w1", "x1", "w2")
    values = dict(zip(names, (2.0, -1.0, -3.0, -2.0, -3.0), strict=True))
    peers = {**everywhere(formula), "casadi": lambda *xs: formula(namespace("casadi"))(*xs)}
    return Case(model, hand, names, values, peers)


def scalar_graph(nodes: int) -> Case:
    """A random graph of additions, products, tanh and sin, on ten scalars."""
    kinds, picks = _random_formula(nodes)

    def formula(tanh, sin):
        def loss(*inputs):
            values = list(inputs)
            for kind, (a, b) in zip(kinds, picks, strict=True):
                if kind == "add":
                    values.append(values[a] + values[b])
                elif kind == "multiply":
                    values.append(values[a] * values[b])
                else:
                    values.append((tanh if kind == "tanh" else sin)(values[a]))
            return values[-1]

        return loss

    def model(a, b, c, d, e, f, g, h, i, j):
        return formula(np.tanh, np.sin)(a, b, c, d, e, f, g, h, i, j)

    names = tuple("abcdefghij")
    values = dict(zip(names, np.linspace(-0.5, 0.6, 10).tolist(), strict=True))
    peers = everywhere(lambda xp: formula(xp.tanh, xp.sin))
    peers["casadi"] = lambda *xs: formula(*_casadi("tanh", "sin"))(*xs)
    return Case(model, _straight_line(kinds, picks), names, values, peers)


def _casadi(*functions):
    return [getattr(namespace("casadi"), name) for name in functions]


def _random_formula(nodes):
    """Kinds of nodes and their operands; every node is used by a later one."""
    rng = np.random.default_rng(7)
    kinds, picks = [], []
    for node in range(nodes):
        # The first twenty nodes take up the inputs, one after another.
        early = node < 20
        kinds.append(("add", "multiply", "tanh", "sin")[node % 2 if early else node % 4])
        other = node % 10 if early else rng.integers(max(0, node - 40), node + 9)
        picks.append((node + 9, int(other)))
    return kinds, picks


def _straight_line(kinds, picks):
    """Value and gradient of the scalar graph as a person would write them out: local floats."""
    forward, backward, adjoint = [], [], {10 + len(kinds) - 1: "1.0"}
    for node, (kind, (a, b)) in enumerate(zip(kinds, picks, strict=True), 10):
        operation = {"add": f"v{a} + v{b}", "multiply": f"v{a} * v{b}"}
        forward.append(f"v{node} = " + operation.get(kind, f"{kind}(v{a})"))
    for node in range(9 + len(kinds), 9, -1):
        kind, (a, b) = kinds[node - 10], picks[node - 10]
        partials = {
            "add": ((a, "d{n}"), (b, "d{n}")),
            "multiply": ((a, "d{n} * v{b}"), (b, "d{n} * v{a}")),
            "tanh": ((a, "d{n} * (1.0 - v{n} * v{n})"),),
            "sin": ((a, "d{n} * cos(v{a})"),),
        }[kind]
        if node not in adjoint:
            continue
        for operand, text in partials:
            text = text.format(n=node, a=a, b=b)
            backward.append(f"d{operand} {'+=' if operand in adjoint else '='} {text}")
            adjoint[operand] = ""
    last = 9 + len(kinds)
    lines = [
        f"def by_hand({', '.join(f'v{k}' for k in range(10))}):",
        *[f"    {line}" for line in forward],
        f"    d{last} = 1.0",
        *[f"    {line}" for line in backward],
        f"    return v{last}, ({', '.join(f'd{k}' if k in adjoint else '0.0' for k in range(10))})",
    ]
    scope = {"tanh": math.tanh, "sin": math.sin, "cos": math.cos}
    exec("\n".join(lines), scope)
    return scope["by_hand"]


def rosenbrock(n: int) -> Case:
    """sum 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2."""

    def model(x):
        return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()

    def small(x):
        a, b = x.tolist()
        t, u = b - a * a, 1.0 - a
        return 100.0 * t * t + u * u, (np.array([-400.0 * t * a - 2.0 * u, 200.0 * t]),)

    def hand(x):
        a = x[:-1]
        t = a * a
        np.subtract(x[1:], t, out=t)
        u = 1.0 - a
        value = 100.0 * t.dot(t) + u.dot(u)
        grad = np.empty_like(x)
        grad[0] = 0.0
        np.multiply(t, 200.0, out=grad[1:])
        t *= a
        t *= 400.0
        u *= 2.0
        t += u
        grad[:-1] -= t
        return value, (grad,)

    def casadi(x):
        terms = 100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2
        return namespace("casadi").sum1(terms)

    peers = dict.fromkeys(("jax", "torch", "autograd", "pytensor"), model)
    if n <= 100:  # a graph of scalars
        peers["casadi"] = casadi
    return Case(model, small if n == 2 else hand, ("x",), {"x": random(n, seed=1)}, peers)


def logistic(rows: int, columns: int) -> Case:
    """Mean of log(1 + exp(-y X w))."""

    def model(X, y, w):
        return graphc.softplus(-y * (X @ w)).mean()

    def hand(X, y, w):
        z = X.dot(w)
        z *= y
        np.negative(z, out=z)
        s = np.abs(z)
        np.negative(s, out=s)
        np.exp(s, out=s)
        np.log1p(s, out=s)
        s += np.maximum(z, 0.0)
        value = s.sum() / rows
        z -= s
        np.exp(z, out=z)
        z *= y
        z *= -1.0 / rows
        return value, (z.dot(X),)

    def jax(X, y, w):
        import jax.nn

        return jax.nn.softplus(-y * (X @ w)).mean()

    def torch(X, y, w):
        import torch.nn.functional

        return torch.nn.functional.softplus(-y * (X @ w)).mean()

    def autograd(X, y, w):
        return namespace("autograd").logaddexp(0.0, -y * (X @ w)).mean()

    def pytensor(X, y, w):
        return namespace("pytensor").softplus(-y * (X @ w)).mean()

    arguments = {
        "X": random(rows, columns, seed=2),
        "y": np.sign(random(rows, seed=3)),
        "w": random(columns, seed=4, scale=0.3),
    }
    peers = {"jax": jax, "torch": torch, "autograd": autograd, "pytensor": pytensor}
    return Case(model, hand, ("w",), arguments, peers)


def logsumexp(n: int) -> Case:
    """log sum exp of a vector."""

    def model(x):
        return graphc.logsumexp(x)

    def hand(x):
        peak = x.max()
        p = x - peak
        np.exp(p, out=p)
        total = p.sum()
        p *= 1.0 / total
        return math.log(total) + peak, (p,)

    def jax(x):
        import jax.scipy.special

        return jax.scipy.special.logsumexp(x)

    def torch(x):
        return namespace("torch").logsumexp(x, 0)

    def autograd(x):
        from autograd.scipy.special import logsumexp

        return logsumexp(x)

    def pytensor(x):
        return namespace("pytensor").logsumexp(x)

    peers = {"jax": jax, "torch": torch, "autograd": autograd, "pytensor": pytensor}
    return Case(model, hand, ("x",), {"x": random(n, seed=5)}, peers)


def chain(n: int, dtype: str) -> Case:
    """sum of tanh(x) sigmoid(x) exp(-x^2): an elementwise region with a sum."""

    def model(x):
        return (np.tanh(x) * graphc.sigmoid(x) * np.exp(-x * x)).sum()

    def hand(x):
        t = np.tanh(x)
        s = np.exp(-x)
        s += 1.0
        np.divide(1.0, s, out=s)
        e = x * x
        np.negative(e, out=e)
        np.exp(e, out=e)
        e *= s
        # y = t e; dy/dx = e (1 - t^2 + t (1 - s) - 2 x t)
        value = t.dot(e)
        np.subtract(1.0, s, out=s)
        s -= t
        u = x + x
        s -= u
        s *= t
        s += 1.0
        s *= e
        return value, (s,)

    def formula(sigmoid):
        return lambda xp: lambda x: (xp.tanh(x) * sigmoid(xp, x) * xp.exp(-x * x)).sum()

    def jax(x):
        import jax.nn

        return formula(lambda xp, x: jax.nn.sigmoid(x))(namespace("jax"))(x)

    peers = {
        "jax": jax,
        "torch": lambda x: formula(lambda xp, x: xp.sigmoid(x))(namespace("torch"))(x),
        "autograd": lambda x: formula(lambda xp, x: 1 / (1 + xp.exp(-x)))(namespace("autograd"))(x),
        "pytensor": lambda x: formula(lambda xp, x: xp.sigmoid(x))(namespace("pytensor"))(x),
    }
    rtol = 2e-4 if dtype == "f32" else 1e-9
    return Case(model, hand, ("x",), {"x": random(n, seed=6, dtype=dtype)}, peers, rtol)
