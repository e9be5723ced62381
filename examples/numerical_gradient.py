"""The wiggle: every gradient against a central difference: `python examples/numerical_gradient.py`.

To see whether a gradient is right, move each number a little to both sides and look at what the
loss does, (f(x + h) - f(x - h)) / 2h. The error falls with h^2 until f(x + h) and f(x - h) agree in
so many digits that their difference has few left. That costs two forward passes a number; the
compiled gradient costs a few in all. `graphc.check_grads` does the like without choosing an h.
"""

import argparse

import numpy as np

import graphc


@graphc.trace(
    x="f64[batch, 5]",
    y="i64[batch]",
    W1=graphc.param("f64[5, 8]", init=graphc.initialisers.glorot_normal()),
    b1=graphc.param("f64[8]", init=0.1),
    W2=graphc.param("f64[8, 3]", init=graphc.initialisers.glorot_normal()),
)
def loss(x, y, W1, b1, W2):
    h = np.tanh(x @ W1 + b1)
    return graphc.cross_entropy(h @ W2, y).mean()


def numerical_gradient(f, at, h):
    """The central difference of f, a function of one array, by every element of `at`."""
    found = np.empty_like(at)
    for index in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[index] += h
        below[index] -= h
        found[index] = (f(above) - f(below)) / (2 * h)
    return found


def errors(steps):
    """The largest difference from the compiled gradient, for each parameter and each h."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 5)), rng.integers(0, 3, 10)
    params = graphc.init_params(loss, seed=0)
    step = graphc.compile(loss)
    _, grads = step.value_and_grad(x, y, **params)
    found = {}
    for name, at in params.items():
        by_one = [
            numerical_gradient(lambda moved, name=name: step(x, y, **params | {name: moved}), at, h)
            for h in steps
        ]
        found[name] = [np.abs(each - getattr(grads, name)).max() for each in by_one]
    return found, {"x": x, "y": y, **params}


def main(arguments=None):
    """Print the errors by h, and what `check_grads` says; return the errors."""
    parser = argparse.ArgumentParser(description="Central differences and compiled gradients.")
    parser.add_argument("--quick", action="store_true", help="fewer values of h")
    options = parser.parse_args(arguments)
    steps = [10.0**-k for k in ((1, 3, 5) if options.quick else range(1, 11))]
    found, values = errors(steps)
    print(f"{'h':8}" + "".join(f"{name:>10}" for name in found))
    for k, h in enumerate(steps):
        print(f"{h:<8.0e}" + "".join(f"{each[k]:10.1e}" for each in found.values()))
    print(graphc.check_grads(loss, **values))
    return {name: dict(zip(steps, each, strict=True)) for name, each in found.items()}


if __name__ == "__main__":
    main()
