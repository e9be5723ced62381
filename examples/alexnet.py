"""AlexNet, whole and reduced: `python examples/alexnet.py [--quick] [--full]`.

After Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks" (2012): five convolutions with ReLU, local response normalisation and overlapping max
pooling, three dense layers with dropout, softmax. Three sizes of one definition:

    grouped   the paper's, its two halves as groups: 60,965,224 parameters, 0.72 GMAC an image
    single    one column without normalisation (Krizhevsky, 2014): 61,100,840, 0.71 GMAC
    reduced   for the handwritten digits, enlarged to 32x32

The reduced one is trained; `--full` times a training step of the whole on a batch of 8 images.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parent))  # the digits' own examples beside this file

import digits
import lenet

import graphc


class Layer(NamedTuple):
    """A convolution: kernels, their size, stride, padding, groups; then what follows its ReLU."""

    kernels: int
    size: int
    stride: int
    padding: int
    groups: int
    norm: bool
    pool: bool


class Net(NamedTuple):
    """Images [channels, side, side], convolutions, widths of the dense layers, classes last."""

    channels: int
    side: int
    layers: tuple[Layer, ...]
    dense: tuple[int, ...]


NETS = {
    "grouped": Net(
        3,
        224,
        (
            Layer(96, 11, 4, 2, 1, True, True),
            Layer(256, 5, 1, 2, 2, True, True),
            Layer(384, 3, 1, 1, 1, False, False),
            Layer(384, 3, 1, 1, 2, False, False),
            Layer(256, 3, 1, 1, 2, False, True),
        ),
        (4096, 4096, 1000),
    ),
    "single": Net(
        3,
        224,
        (
            Layer(64, 11, 4, 2, 1, False, True),
            Layer(192, 5, 1, 2, 1, False, True),
            Layer(384, 3, 1, 1, 1, False, False),
            Layer(256, 3, 1, 1, 1, False, False),
            Layer(256, 3, 1, 1, 1, False, True),
        ),
        (4096, 4096, 1000),
    ),
    "reduced": Net(
        1,
        32,
        (
            Layer(16, 5, 2, 2, 1, True, True),
            Layer(32, 3, 1, 1, 2, True, True),
            Layer(48, 3, 1, 1, 1, False, False),
            Layer(48, 3, 1, 1, 2, False, False),
            Layer(32, 3, 1, 1, 2, False, True),
        ),
        (128, 128, 10),
    ),
}
# The paper's constants: neighbours, alpha, beta, k; windows of 3, two apart; half is dropped.
NORM = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
WINDOW, STEP, RATE = 3, 2, 0.5


def shapes(net):
    """The parameters' shapes, and how many features the convolutions leave."""
    found, channels, side = {}, net.channels, net.side
    for k, layer in enumerate(net.layers, start=1):
        found[f"C{k}"] = (layer.kernels, channels // layer.groups, layer.size, layer.size)
        found[f"c{k}"] = (layer.kernels,)
        channels, side = layer.kernels, (side + 2 * layer.padding - layer.size) // layer.stride + 1
        if layer.pool:
            side = (side - WINDOW) // STEP + 1
    features = width = channels * side * side
    for k, units in enumerate(net.dense, start=len(net.layers) + 1):
        found[f"W{k}"], found[f"b{k}"] = (width, units), (units,)
        width = units
    return found, features


def scores(net, x, p, random=None):
    """The classes' scores; with dropout where uniform random numbers are given."""
    h = x
    for k, layer in enumerate(net.layers, start=1):
        h = graphc.conv2d(
            h, p[f"C{k}"], stride=layer.stride, padding=layer.padding, groups=layer.groups
        )
        h = graphc.relu(h + p[f"c{k}"][:, None, None])
        if layer.norm:
            h = graphc.local_response_norm(h, **NORM)
        if layer.pool:
            h = graphc.max_pool(h, WINDOW, stride=STEP)
    h = h.reshape(h.shape[0], shapes(net)[1])
    first, last = len(net.layers) + 1, len(net.layers) + len(net.dense)
    for k in range(first, last):
        if random is not None:
            h = graphc.dropout(h, random[k - first], RATE)
        h = graphc.relu(h @ p[f"W{k}"] + p[f"b{k}"])
    return h @ p[f"W{last}"] + p[f"b{last}"]


def types(net, batch="batch"):
    """Of the images, the labels, the random numbers of dropout, and the parameters."""
    found, features = shapes(net)
    images = f"f32[{batch}, {net.channels}, {net.side}, {net.side}]"
    random = [f"f32[{batch}, {width}]" for width in (features, *net.dense[:-2])]
    params = {name: graphc.param(f"f32[{', '.join(map(str, s))}]") for name, s in found.items()}
    return images, f"i64[{batch}]", random, params


def training_graph(net, batch="batch"):
    """The mean cross-entropy of a batch, with dropout."""

    def loss(x, y, random, params):
        return graphc.cross_entropy(scores(net, x, params, random), y).mean()

    return graphc.trace(loss, *types(net, batch))


def start(net, rng):
    """Random weights (He et al., 2015), zero biases, f32."""
    params = {}
    for name, shape in shapes(net)[0].items():
        inputs = math.prod(shape[1:]) if name[0] == "C" else shape[0]
        params[name] = rng.standard_normal(shape, np.float32)
        params[name] *= np.float32(math.sqrt(2 / inputs)) if len(shape) > 1 else np.float32(0)
    return params


def drops(net, batch, rng):
    """Fresh random numbers for dropout."""
    widths = (shapes(net)[1], *net.dense[:-2])
    return [rng.random((batch, width), np.float32) for width in widths]


def enlarged(x):
    """Digits of 8x8 as images of 32x32."""
    return np.kron(x.reshape(-1, 1, 8, 8), np.ones((4, 4))).astype(np.float32)


def train(epochs, seed=0, batch=64, rate=1e-3, progress=lambda done, value: None):
    """Train the reduced net on the digits; return (test accuracy, first loss, last loss)."""
    rng = np.random.default_rng(seed)
    net = NETS["reduced"]
    x, y = digits.load()
    x = enlarged(x)
    training, testing = digits.split(y, rng)
    params = start(net, rng)
    step = graphc.compile(training_graph(net))
    images, _, _, parameters = types(net)
    apply = graphc.compile(
        graphc.trace(lambda x, params: scores(net, x, params), images, parameters)
    )
    adam = lenet.Adam(params, rate)
    losses = []
    for epoch in range(epochs):
        order = rng.permutation(training)
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            value, grads = step.value_and_grad(x[rows], y[rows], drops(net, len(rows), rng), params)
            adam.step(grads.params)
            losses.append(float(value))
        progress((epoch + 1) / epochs, losses[-1])
    found = np.argmax(apply(x[testing], params), axis=1)
    return np.mean(found == y[testing]), losses[0], losses[-1]


def full_step(name="grouped", batch=8, seed=0):
    """One training step of a whole net on random images: (parameters, loss, gradients, seconds)."""
    rng = np.random.default_rng(seed)
    net = NETS[name]
    params = start(net, rng)
    x = rng.standard_normal((batch, net.channels, net.side, net.side), np.float32)
    y = rng.integers(0, net.dense[-1], batch)
    step = graphc.compile(training_graph(net, batch))
    random = drops(net, batch, rng)
    began = time.perf_counter()
    value, grads = step.value_and_grad(x, y, random, params)
    return sum(p.size for p in params.values()), float(value), grads, time.perf_counter() - began


def main(arguments=None):
    """Train the reduced net; return its test accuracy."""
    parser = argparse.ArgumentParser(description="AlexNet.")
    parser.add_argument("--quick", action="store_true", help="one epoch")
    parser.add_argument("--full", action="store_true", help="a training step of the whole net")
    options = parser.parse_args(arguments)
    if options.full:
        for name in ("grouped", "single"):
            count, value, _, seconds = full_step(name)
            print(f"{name}: {count:,} parameters, batch 8, loss {value:.3f}, {seconds:.2f} s")
    epochs = 1 if options.quick else 30
    accuracy, before, after = train(epochs, progress=digits.progress_bar("reduced"))
    print(f"reduced: loss {before:.3f} to {after:.3f} in {epochs} epochs, accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
