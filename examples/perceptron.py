"""A three-layer perceptron, 3-4-4-1: `python examples/perceptron.py [--quick]`.

Its weights are matrices and its values columns, as on the blackboard: h1 = f(W1 x + b1),
h2 = f(W2 h1 + b2), out = W3 h2 + b3, with f a sigmoid, tanh or ReLU. One forward and backward pass
shows the gradient of every weight in the weight's own shape; then a perceptron learns a curve.
"""

import argparse

import numpy as np

import graphc

WEIGHTS = {"W1": (4, 3), "W2": (4, 4), "W3": (1, 4)}
ACTIVATIONS = {"sigmoid": graphc.sigmoid, "tanh": np.tanh, "relu": graphc.relu}


def parameters():
    """The parameters' types, and how they begin: weights by Glorot and Bengio (2010)."""
    glorot = graphc.initialisers.glorot_normal(layout="out,in")
    found = {}
    for k, (name, (rows, columns)) in enumerate(WEIGHTS.items(), start=1):
        found[name] = graphc.param(f"f64[{rows}, {columns}]", init=glorot)
        found[f"b{k}"] = graphc.param(f"f64[{rows}, 1]", init=0)
    return found


def perceptron(activation):
    """The graph of the output, and of half the squared error against a target."""
    f = ACTIVATIONS[activation]

    def model(x, target, params):
        h1 = f(params["W1"] @ x + params["b1"])
        h2 = f(params["W2"] @ h1 + params["b2"])
        out = params["W3"] @ h2 + params["b3"]
        loss = ((out - target) ** 2).mean() / 2
        return {"out": out, "loss": loss}

    return graphc.trace(model, "f64[3, batch]", "f64[1, batch]", parameters())


def train(activation, steps, rate=0.3, seed=0):
    """Learn y = sin(x0) x1 + x2 / 2 on 200 points; return (loss before, loss after)."""
    x = np.random.default_rng(seed).uniform(-2, 2, size=(3, 200))
    batch = x, np.sin(x[:1]) * x[1:2] + x[2:] / 2
    descent = graphc.optimizers.GradientDescent(rate)
    step = graphc.train_step(perceptron(activation), descent, of="loss")
    params = step.init_params(seed)
    state = step.init(params)
    before = step.evaluate(params, batch).loss
    for _ in range(steps):
        params, state, _ = step(params, state, batch)
    return before, step.evaluate(params, batch).loss


def main(arguments=None):
    """One pass on one point, then training with each activation."""
    parser = argparse.ArgumentParser(description="A three-layer perceptron.")
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)
    x, target = np.array([[1.0], [-2.0], [0.5]]), np.array([[1.0]])
    graph = perceptron("sigmoid")
    step = graphc.compile(graph, of="loss")
    value, grads = step.value_and_grad(x, target, graphc.init_params(graph, seed=0))
    print(f"one pass: out {value.out[0, 0]:.4f}, loss {value.loss:.4f}")
    for name, grad in grads.params.items():
        print(
            f"  d loss / d {name}: {grad.shape[0]}x{grad.shape[1]}, norm {np.linalg.norm(grad):.4f}"
        )
    for activation in ACTIVATIONS:
        before, after = train(activation, 200 if options.quick else 5000)
        print(f"{activation}: loss {before:.4f} before, {after:.4f} after training")


if __name__ == "__main__":
    main()
