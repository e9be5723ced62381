"""A softmax classifier, two ways: on one example by hand, and trained on handwritten digits.

    python examples/softmax_classifier.py [--quick]

First the scores (3.2, 5.1, -1.7) of one image whose true class is 0: probabilities, loss, and the
gradient, which is the probabilities less one at the true class. Then s = x W + b with the same
loss and a regularisation of the weights, minimised by minibatch gradient descent.
"""

import argparse

import digits
import numpy as np

import graphc

STRENGTH, BATCH, EPOCHS, RATE = 1e-4, 256, 200, 0.5


@graphc.trace(scores=graphc.param("f64[n, classes]"), labels="i64[n]")
def loss(scores, labels):
    """The mean cross-entropy of softmax(scores)."""
    return graphc.cross_entropy(scores, labels).mean()


@graphc.trace(
    x="f64[batch, 64]",
    labels="i64[batch]",
    W=graphc.param("f64[64, 10]", init=graphc.initialisers.normal(0.01)),
    b=graphc.param("f64[10]", init=0),
)
def classifier(x, labels, W, b):
    """The same loss of a linear score function, and a regularisation of its weights."""
    return loss(x @ W + b, labels) + STRENGTH * (W * W).sum()


def one_example():
    """Return (probabilities, loss, gradient) of the one example."""
    scores, labels = np.array([[3.2, 5.1, -1.7]]), np.array([0])
    value, gradient = graphc.compile(loss, wrt="scores").value_and_grad(scores, labels)
    return graphc.softmax(scores, axis=1)[0], value, gradient[0]


def train(graph, rate, epochs, seed=0):
    """Train a linear classifier on the digits; return (loss before, loss after, test accuracy)."""
    x, y = digits.load()
    training, testing = digits.split(y, np.random.default_rng(seed))
    data = (x[training], y[training])
    step = graphc.train_step(graph, graphc.optimizers.GradientDescent(rate))
    params = step.init_params(seed)
    before = step.evaluate(params, data)
    params = graphc.fit(step, params, data, batch_size=BATCH, epochs=epochs, seed=seed).params
    after = step.evaluate(params, data)
    found = np.argmax(x[testing] @ params["W"] + params["b"], axis=1)
    return before, after, np.mean(found == y[testing])


def main(arguments=None):
    """Run both parts, print what they found, and return the test accuracy."""
    parser = argparse.ArgumentParser(description="A softmax classifier.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    options = parser.parse_args(arguments)

    probabilities, value, gradient = one_example()
    print("scores          3.2   5.1  -1.7, true class 0")
    print("probabilities ", " ".join(f"{p:5.2f}" for p in probabilities))
    print(f"loss           {value:5.2f}")
    print("gradient      ", " ".join(f"{g:5.2f}" for g in gradient))

    epochs = 10 if options.quick else EPOCHS
    before, after, accuracy = train(classifier, RATE, epochs)
    print(
        f"digits: {epochs} epochs, loss {before:.3f} to {after:.3f}, test accuracy {accuracy:.1%}"
    )
    return accuracy


if __name__ == "__main__":
    main()
