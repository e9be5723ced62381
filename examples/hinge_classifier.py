"""A linear classifier with the hinge loss and L2: `python examples/hinge_classifier.py [--quick]`.

The loss of a multiclass support vector machine, as one graph: the weights and the images give
scores, the scores a data loss, and the weights a regularisation,

    L = mean_i sum_{j != y_i} max(0, s_ij - s_iy + 1) + strength * sum W^2

minimised on the handwritten digits as the softmax classifier's.
"""

import argparse

import numpy as np
from softmax_classifier import train

import graphc

STRENGTH, EPOCHS, RATE = 1e-3, 200, 0.1


@graphc.trace(
    x="f64[batch, 64]",
    y="i64[batch]",
    W=graphc.param("f64[64, 10]", init=graphc.initialisers.normal(0.01)),
    b=graphc.param("f64[10]", init=0),
)
def loss(x, y, W, b):
    scores = x @ W + b
    right = graphc.one_hot(y, 10)
    correct = (scores * right).sum(axis=1, keepdims=True)
    margins = np.maximum(scores - correct + 1, 0) * (1 - right)
    data_loss = margins.sum(axis=1).mean()
    regularisation = STRENGTH * (W * W).sum()
    return data_loss + regularisation


def main(arguments=None):
    """Train, and print the loss and the test accuracy, which is returned."""
    parser = argparse.ArgumentParser(description="A hinge-loss classifier of handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    options = parser.parse_args(arguments)
    before, after, accuracy = train(loss, RATE, 10 if options.quick else EPOCHS)
    print(f"hinge loss with L2: {before:.4f} before, {after:.4f} after training")
    print(f"test accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
