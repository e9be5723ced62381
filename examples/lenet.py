"""A convolutional network on the handwritten digits: `python examples/lenet.py [--quick]`.

Two convolutions with ReLU and max pooling, then two dense layers with dropout, after LeNet (LeCun,
Bottou, Bengio and Haffner, 1998), on images of 8x8; every image is moved by up to a pixel each time
it is seen. Minimised by Adam (Kingma and Ba, 2015).
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))  # the digits' own example beside this file

import digits

import graphc

BATCH, EPOCHS, RATE = 64, 60, 2e-3
SHAPES = {
    "C1": (24, 1, 3, 3),
    "c1": (24,),
    "C2": (48, 24, 3, 3),
    "c2": (48,),
    "W3": (192, 96),
    "b3": (96,),
    "W4": (96, 10),
    "b4": (10,),
}


def features(x, p):
    """The images [batch, 1, 8, 8] as rows of 192 features."""
    h1 = graphc.relu(graphc.conv2d(x, p["C1"], padding=1) + p["c1"][:, None, None])
    h2 = graphc.relu(graphc.conv2d(h1, p["C2"], padding=1) + p["c2"][:, None, None])
    pooled = graphc.max_pool(graphc.max_pool(h2, 2), 2)
    return pooled.reshape(pooled.shape[0], 192)


def network(x, y, keep, params):
    """The mean cross-entropy, with dropout by the random numbers `keep`."""
    h3 = graphc.relu(graphc.dropout(features(x, params), keep) @ params["W3"] + params["b3"])
    scores = h3 @ params["W4"] + params["b4"]
    return graphc.cross_entropy(scores, y).mean()


def classifier(x, params):
    """The scores of every class, as a trained network is applied: without dropout."""
    h3 = graphc.relu(features(x, params) @ params["W3"] + params["b3"])
    return h3 @ params["W4"] + params["b4"]


def types():
    """The parameters' types."""
    return {name: graphc.param(f"f32[{', '.join(map(str, s))}]") for name, s in SHAPES.items()}


def start(rng):
    """Random weights (He et al., 2015), zero biases, f32."""
    params = {}
    for name, shape in SHAPES.items():
        inputs = np.prod(shape[1:]) if name[0] == "C" else shape[0]
        scale = np.sqrt(2 / inputs) if len(shape) > 1 else 0.0
        params[name] = (scale * rng.normal(size=shape)).astype(np.float32)
    return params


def moved(x, rng):
    """Every image moved by -1, 0 or 1 pixels along each axis, zeros coming in."""
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    down, right = rng.integers(0, 3, size=(2, len(x)))
    rows = down[:, None] + np.arange(8)
    columns = right[:, None] + np.arange(8)
    return padded[np.arange(len(x))[:, None, None], 0, rows[:, :, None], columns[:, None]][:, None]


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization" (2015), for a dict of arrays."""

    def __init__(self, params, rate):
        self.params, self.rate, self.count = params, rate, 0
        self.moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in params.items()}

    def step(self, grads):
        """One update of the parameters, in place."""
        self.count += 1
        rate = self.rate * np.sqrt(1 - 0.999**self.count) / (1 - 0.9**self.count)
        for name, grad in grads.items():
            first, second = self.moments[name]
            first += 0.1 * (grad - first)
            second += 0.001 * (grad * grad - second)
            self.params[name] -= float(rate) * first / (np.sqrt(second) + 1e-8)


def train(seed=0, epochs=EPOCHS, progress=lambda done, value: None):
    """Train one network; return (test accuracy, last loss, seconds of training)."""
    rng = np.random.default_rng(seed)
    x, y = digits.load()
    x = x.reshape(-1, 1, 8, 8).astype(np.float32)
    training, testing = digits.split(y, rng)
    params = start(rng)
    rows = "f32[batch, 1, 8, 8]"
    step = graphc.compile(graphc.trace(network, rows, "i64[batch]", "f32[batch, 192]", types()))
    scores = graphc.compile(graphc.trace(classifier, rows, types()))
    adam = Adam(params, RATE)

    began = time.perf_counter()
    for epoch in range(epochs):
        adam.rate = RATE * (1 + np.cos(np.pi * epoch / epochs)) / 2
        order = rng.permutation(training)
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            keep = rng.random((len(batch), 192), np.float32)
            value, grads = step.value_and_grad(moved(x[batch], rng), y[batch], keep, params)
            adam.step(grads.params)
        progress((epoch + 1) / epochs, float(value))
    seconds = time.perf_counter() - began
    found = np.argmax(scores(x[testing], params), axis=1)
    return np.mean(found == y[testing]), float(value), seconds


def main(arguments=None):
    """Train one network; print its loss and its test accuracy, which is returned."""
    parser = argparse.ArgumentParser(description="A convolutional network on handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    epochs = 3 if options.quick else EPOCHS
    bar = digits.progress_bar(f"seed {options.seed}")
    accuracy, value, seconds = train(options.seed, epochs, bar)
    print(
        f"lenet: {epochs} epochs, loss {value:.4f}, test accuracy {accuracy:.2%}, {seconds:.1f} s"
    )
    return accuracy


if __name__ == "__main__":
    main()
