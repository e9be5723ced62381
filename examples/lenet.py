"""A convolutional network on the handwritten digits: `python examples/lenet.py [--quick]`.

Two convolutions with ReLU and max pooling, then two dense layers with dropout, after LeNet (LeCun,
Bottou, Bengio and Haffner, 1998), on images of 8x8; every image is moved by up to a pixel each time
it is seen. Minimised by Adam (Kingma and Ba, 2015), its rate falling along a cosine.
"""

import argparse
import math
import time

import digits
import numpy as np

import graphc

BATCH, EPOCHS, RATE, FEATURES = 64, 60, 2e-3, 192
IMAGES = "f32[batch, 1, 8, 8]"


def parameters(dtype="f32"):
    """The parameters' types, and how they begin: weights by He et al. (2015), biases at zero."""

    def weights(*shape):
        init = graphc.initialisers.he_normal()
        return graphc.param(f"{dtype}[{', '.join(map(str, shape))}]", init=init)

    def zeros(size):
        return graphc.param(f"{dtype}[{size}]", init=0)

    return {
        "C1": weights(24, 1, 3, 3),
        "c1": zeros(24),
        "C2": weights(48, 24, 3, 3),
        "c2": zeros(48),
        "W3": weights(FEATURES, 96),
        "b3": zeros(96),
        "W4": weights(96, 10),
        "b4": zeros(10),
    }


def classifier(x, params, random=None):
    """The scores of every class; with dropout where uniform random numbers are given."""
    p = params
    h1 = graphc.relu(graphc.conv2d(x, p["C1"], padding=1) + p["c1"][:, None, None])
    h2 = graphc.relu(graphc.conv2d(h1, p["C2"], padding=1) + p["c2"][:, None, None])
    pooled = graphc.max_pool(graphc.max_pool(h2, 2), 2)
    features = pooled.reshape(x.shape[0], FEATURES)
    if random is not None:
        features = graphc.dropout(features, random)
    return graphc.relu(features @ p["W3"] + p["b3"]) @ p["W4"] + p["b4"]


def network(x, y, random, params):
    """The mean cross-entropy, with dropout."""
    return graphc.cross_entropy(classifier(x, params, random), y).mean()


def moved(x, rng):
    """Every image moved by -1, 0 or 1 pixels along each axis, zeros coming in."""
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    down, right = rng.integers(0, 3, size=(2, len(x)))
    rows = down[:, None] + np.arange(8)
    columns = right[:, None] + np.arange(8)
    return padded[np.arange(len(x))[:, None, None], 0, rows[:, :, None], columns[:, None]][:, None]


def batches(x, y, seed):
    """What `fit` takes as data: each epoch the images in another order, moved, and randomness."""

    def epoch_of(epoch):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(x))
        for first in range(0, len(x), BATCH):
            rows = order[first : first + BATCH]
            yield moved(x[rows], rng), y[rows], rng.random((len(rows), FEATURES), np.float32)

    return epoch_of


def train(seed=0, epochs=EPOCHS):
    """Train one network; return (test accuracy, mean loss of the last epoch, seconds)."""
    x, y = digits.load(np.float32)
    x = x.reshape(-1, 1, 8, 8)
    training, testing = digits.split(y, np.random.default_rng(seed))
    graph = graphc.trace(
        network, IMAGES, "i64[batch]", f"f32[batch, {FEATURES}]", params=parameters()
    )
    schedule = graphc.schedules.cosine(RATE, steps=epochs * math.ceil(len(training) / BATCH))
    step = graphc.train_step(graph, graphc.optimizers.Adam(schedule), donate=True)

    began = time.perf_counter()
    data = batches(x[training], y[training], seed)
    found = graphc.fit(step, step.init_params(seed), data, epochs=epochs)
    seconds = time.perf_counter() - began
    scores = graphc.compile(graphc.trace(classifier, IMAGES, parameters()))
    right = np.argmax(scores(x[testing], found.params), axis=1) == y[testing]
    return np.mean(right), found.history.epochs[-1], seconds


def main(arguments=None):
    """Train one network; print its loss and its test accuracy, which is returned."""
    parser = argparse.ArgumentParser(description="A convolutional network on handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    epochs = 6 if options.quick else EPOCHS
    accuracy, value, seconds = train(options.seed, epochs)
    print(
        f"lenet: {epochs} epochs, loss {value:.4f}, test accuracy {accuracy:.2%}, {seconds:.1f} s"
    )
    return accuracy


if __name__ == "__main__":
    main()
