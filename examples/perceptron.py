"""A three-layer perceptron, 3-4-4-1: `python examples/perceptron.py [--quick]`.

Its weights are matrices and its values columns, as on the blackboard: h1 = f(W1 x + b1),
h2 = f(W2 h1 + b2), out = W3 h2 + b3, with f a sigmoid, tanh or ReLU. One forward and backward pass
shows the gradient of every weight in the weight's own shape; then a perceptron learns a curve.
"""

import argparse

import numpy as np

import graphc

SHAPES = {"W1": (4, 3), "b1": (4, 1), "W2": (4, 4), "b2": (4, 1), "W3": (1, 4), "b3": (1, 1)}
ACTIVATIONS = {"sigmoid": graphc.sigmoid, "tanh": np.tanh, "relu": graphc.relu}


def perceptron(activation):
    """The graph of the output, and of half the squared error against a target."""
    f = ACTIVATIONS[activation]

    def model(x, target, params):
        h1 = f(params["W1"] @ x + params["b1"])
        h2 = f(params["W2"] @ h1 + params["b2"])
        out = params["W3"] @ h2 + params["b3"]
        loss = ((out - target) ** 2).mean() / 2
        return {"out": out, "loss": loss}

    params = {name: graphc.param(f"f64[{m}, {n}]") for name, (m, n) in SHAPES.items()}
    return graphc.trace(model, "f64[3, batch]", "f64[1, batch]", params)


def start(rng):
    """Random weights (Glorot and Bengio, 2010), zero biases."""
    return {
        name: rng.normal(size=shape) * np.sqrt(2 / sum(shape))
        if name[0] == "W"
        else np.zeros(shape)
        for name, shape in SHAPES.items()
    }


def train(activation, steps, rate=0.3, seed=0):
    """Learn y = sin(x0) x1 + x2 / 2 on 200 points; return (loss before, loss after)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(3, 200))
    target = np.sin(x[:1]) * x[1:2] + x[2:] / 2
    params = start(rng)
    step = graphc.compile(perceptron(activation), of="loss")
    before = step(x, target, params)["loss"]
    for _ in range(steps):
        _, grads = step.value_and_grad(x, target, params)
        for name, grad in grads.params.items():
            params[name] -= rate * grad
    return before, step(x, target, params)["loss"]


def main(arguments=None):
    """One pass on one point, then training with each activation."""
    parser = argparse.ArgumentParser(description="A three-layer perceptron.")
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)
    x, target = np.array([[1.0], [-2.0], [0.5]]), np.array([[1.0]])
    step = graphc.compile(perceptron("sigmoid"), of="loss")
    value, grads = step.value_and_grad(x, target, start(np.random.default_rng(0)))
    print(f"one pass: out {value['out'][0, 0]:.4f}, loss {value['loss']:.4f}")
    for name, grad in grads.params.items():
        print(
            f"  d loss / d {name}: {grad.shape[0]}x{grad.shape[1]}, norm {np.linalg.norm(grad):.4f}"
        )
    for activation in ACTIVATIONS:
        before, after = train(activation, 200 if options.quick else 5000)
        print(f"{activation}: loss {before:.4f} before, {after:.4f} after training")


if __name__ == "__main__":
    main()
