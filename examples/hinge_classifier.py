"""A linear classifier with the hinge loss and L2: `python examples/hinge_classifier.py [--quick]`.

The loss of a multiclass support vector machine, as one graph: the weights and the images give
scores, the scores a data loss, and the weights a regularisation,

    L = mean_i sum_{j != y_i} max(0, s_ij - s_iy + 1) + strength * sum W^2

minimised on the handwritten digits by minibatch gradient descent.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))  # the digits' own example beside this file

import digits

import graphc

STRENGTH, BATCH, RATE = 1e-3, 256, 0.1


@graphc.trace(
    x="f64[batch, 64]",
    y="i64[batch]",
    W=graphc.param("f64[64, 10]"),
    b=graphc.param("f64[10]"),
)
def loss(x, y, W, b):
    scores = x @ W + b
    right = graphc.one_hot(y, 10)
    correct = (scores * right).sum(axis=1, keepdims=True)
    margins = np.maximum(scores - correct + 1, 0) * (1 - right)
    data_loss = margins.sum(axis=1).mean()
    regularisation = STRENGTH * (W * W).sum()
    return data_loss + regularisation


def train(epochs, seed=0):
    """Train; return (loss before, loss after, test accuracy)."""
    rng = np.random.default_rng(seed)
    x, y = digits.load()
    training, testing = digits.split(y, rng)
    W, b = 0.01 * rng.normal(size=(64, 10)), np.zeros(10)
    step = graphc.compile(loss)
    before = step(x[training], y[training], W, b)
    for _ in range(epochs):
        order = rng.permutation(training)
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            _, grads = step.value_and_grad(x[batch], y[batch], W, b)
            W -= RATE * grads.W
            b -= RATE * grads.b
    after = step(x[training], y[training], W, b)
    accuracy = np.mean(np.argmax(x[testing] @ W + b, axis=1) == y[testing])
    return before, after, accuracy


def main(arguments=None):
    """Train, and print the loss and the test accuracy, which is returned."""
    parser = argparse.ArgumentParser(description="A hinge-loss classifier of handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    options = parser.parse_args(arguments)
    before, after, accuracy = train(10 if options.quick else 200)
    print(f"hinge loss with L2: {before:.4f} before, {after:.4f} after training")
    print(f"test accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
