"""A softmax classifier, two ways: on one example by hand, and trained on three spiral arms.

    python examples/softmax_classifier.py [--quick]

First the scores (3.2, 5.1, -1.7) of one image whose true class is 0: probabilities, loss, and the
gradient, which is the probabilities less one at the true class. Then s = x W + b, trained by
gradient descent.
"""

import argparse

import numpy as np

import graphc


@graphc.trace(scores=graphc.param("f64[n, classes]"), labels="i64[n]")
def loss(scores, labels):
    """The mean cross-entropy of softmax(scores)."""
    return graphc.cross_entropy(scores, labels).mean()


@graphc.trace(
    x="f64[batch, features]",
    labels="i64[batch]",
    W=graphc.param("f64[features, classes]", init=graphc.initialisers.normal(0.01)),
    b=graphc.param("f64[classes]", init=0),
)
def classifier(x, labels, W, b):
    """The same loss of a linear score function."""
    return loss(x @ W + b, labels)


def one_example():
    """Return (probabilities, loss, gradient) of the one example."""
    scores, labels = np.array([[3.2, 5.1, -1.7]]), np.array([0])
    value, gradient = graphc.compile(loss, wrt="scores").value_and_grad(scores, labels)
    return graphc.softmax(scores, axis=1)[0], value, gradient[0]


def spirals(points, rng):
    """Three arms of `points` points each: (x, labels), x with its radius as a third feature."""
    radius = np.tile(np.linspace(0.05, 1.0, points), 3)
    labels = np.repeat(np.arange(3), points)
    angle = labels * (2 * np.pi / 3) + radius * 1.5 + rng.normal(scale=0.15, size=labels.size)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), radius], axis=1), labels


def train(steps, rate=1.0, seed=0):
    """Train on the spirals, all at once; return (loss before, loss after, accuracy)."""
    x, labels = spirals(100, np.random.default_rng(seed))
    step = graphc.train_step(classifier, graphc.optimizers.GradientDescent(rate))
    params = step.init_params(seed, sizes={"features": 3, "classes": 3})
    state = step.init(params)
    before = step.evaluate(params, (x, labels))
    for _ in range(steps):
        params, state, _ = step(params, state, (x, labels))
    found = np.argmax(x @ params["W"] + params["b"], axis=1)
    return before, step.evaluate(params, (x, labels)), np.mean(found == labels)


def main(arguments=None):
    """Run both parts and print what they found."""
    parser = argparse.ArgumentParser(description="A softmax classifier.")
    parser.add_argument("--quick", action="store_true", help="a few steps only")
    options = parser.parse_args(arguments)

    probabilities, value, gradient = one_example()
    print("scores          3.2   5.1  -1.7, true class 0")
    print("probabilities ", " ".join(f"{p:5.2f}" for p in probabilities))
    print(f"loss           {value:5.2f}")
    print("gradient      ", " ".join(f"{g:5.2f}" for g in gradient))

    steps = 20 if options.quick else 500
    before, after, accuracy = train(steps)
    print(f"spirals: {steps} steps, loss {before:.3f} -> {after:.3f}, accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
