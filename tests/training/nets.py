"""Losses and batches that the tests of training share."""

import numpy as np

import graphc

he, glorot = graphc.initialisers.he_normal, graphc.initialisers.glorot_uniform


def net(dtype="f64", hidden=16):
    """A two-layer classifier of 8 numbers into 3 classes, its parameters declared one by one."""

    @graphc.trace(
        x=f"{dtype}[batch, 8]",
        y="i64[batch]",
        W1=graphc.param(f"{dtype}[8, {hidden}]", init=he()),
        b1=graphc.param(f"{dtype}[{hidden}]", init=0),
        W2=graphc.param(f"{dtype}[{hidden}, 3]", init=glorot()),
        b2=graphc.param(f"{dtype}[3]", init=0),
    )
    def loss(x, y, W1, b1, W2, b2):
        h = np.tanh(x @ W1 + b1)
        return graphc.cross_entropy(h @ W2 + b2, y).mean()

    return loss


def nested():
    """The same in one container of layers."""
    layers = [
        {"W": graphc.param("f64[8, 16]", init=he()), "b": graphc.param("f64[16]", init=0)},
        {"W": graphc.param("f64[16, 3]", init=he()), "b": graphc.param("f64[3]", init=0)},
    ]

    @graphc.trace(params={"layers": layers}, x="f64[batch, 8]", y="i64[batch]")
    def loss(params, x, y):
        first, last = params["layers"]
        h = np.tanh(x @ first["W"] + first["b"])
        return graphc.cross_entropy(h @ last["W"] + last["b"], y).mean()

    return loss


def data(count=32, dtype="f64", seed=0):
    """Points of three clouds, and which cloud each is of."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.normal(size=(count, 8)) + np.eye(3, 8)[y] * 2
    return x.astype({"f64": np.float64, "f32": np.float32}[dtype]), y
