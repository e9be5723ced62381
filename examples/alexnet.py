"""AlexNet, whole and reduced: `python examples/alexnet.py [--quick]`.

After Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks" (2012): five convolutions with ReLU, local response normalisation and overlapping max
pooling, three dense layers with dropout, softmax. Three sizes of one definition:

    grouped   the paper's, its two halves as groups: 60,965,224 parameters, 0.72 GMAC an image
    single    one column without normalisation (Krizhevsky, 2014): 61,100,840, 0.71 GMAC
    reduced   for the handwritten digits, enlarged to 32x32

The whole ones take a training step on a batch of 8 random images: forward, backward, and the
paper's update by momentum with weight decay. The reduced one is trained; `--quick` runs it alone.
"""

import argparse
import time
from typing import NamedTuple

import digits
import numpy as np

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


def types(net, batch="batch", dtype="f32"):
    """Of the images, the labels, the random numbers of dropout, and the parameters."""
    found, features = shapes(net)
    images = f"{dtype}[{batch}, {net.channels}, {net.side}, {net.side}]"
    random = [f"{dtype}[{batch}, {width}]" for width in (features, *net.dense[:-2])]
    he = graphc.initialisers.he_normal()
    params = {
        name: graphc.param(f"{dtype}[{', '.join(map(str, s))}]", init=he if len(s) > 1 else 0)
        for name, s in found.items()
    }
    return images, f"i64[{batch}]", random, params


def training_graph(net, batch="batch", dtype="f32"):
    """The mean cross-entropy of a batch, with dropout."""

    def loss(x, y, random, params):
        return graphc.cross_entropy(scores(net, x, params, random), y).mean()

    return graphc.trace(loss, *types(net, batch, dtype))


def drops(net, batch, rng):
    """Fresh random numbers for dropout."""
    widths = (shapes(net)[1], *net.dense[:-2])
    return [rng.random((batch, width), np.float32) for width in widths]


def enlarged(x):
    """Digits of 8x8 as images of 32x32."""
    return np.kron(x.reshape(-1, 1, 8, 8), np.ones((4, 4), np.float32))


def train(epochs, seed=0, batch=64, rate=1e-3):
    """Train the reduced net on the digits; return (test accuracy, history)."""
    net = NETS["reduced"]
    x, y = digits.load(np.float32)
    x = enlarged(x)
    training, testing = digits.split(y, np.random.default_rng(seed))

    def batches(epoch):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(training)
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            yield x[rows], y[rows], drops(net, len(rows), rng)

    step = graphc.train_step(training_graph(net), graphc.optimizers.Adam(rate), donate=True)
    params, _, history, _ = graphc.fit(step, step.init_params(seed), batches, epochs=epochs)
    images, _, _, declared = types(net)
    apply = graphc.compile(graphc.trace(lambda x, params: scores(net, x, params), images, declared))
    found = np.argmax(apply(x[testing], params), axis=1)
    return np.mean(found == y[testing]), history


def full_step(name="grouped", batch=8, seed=0):
    """One training step of a whole net on random images: (new params, state, loss, seconds)."""
    rng = np.random.default_rng(seed)
    net = NETS[name]
    momentum = graphc.optimizers.Momentum(0.01, momentum=0.9, weight_decay=5e-4)
    step = graphc.train_step(training_graph(net, batch), momentum, donate=True)
    params = step.init_params(seed)
    state = step.init(params)
    x = rng.standard_normal((batch, net.channels, net.side, net.side), np.float32)
    y = rng.integers(0, net.dense[-1], batch)
    random = drops(net, batch, rng)
    began = time.perf_counter()
    params, state, value = step(params, state, (x, y, random))
    return params, state, float(value), time.perf_counter() - began


def main(arguments=None):
    """A step of each whole net, then the training of the reduced one; return its test accuracy."""
    parser = argparse.ArgumentParser(description="AlexNet.")
    parser.add_argument("--quick", action="store_true", help="one epoch of the reduced net")
    options = parser.parse_args(arguments)
    for name in () if options.quick else ("grouped", "single"):
        params, _, value, seconds = full_step(name)
        count = sum(p.size for p in params.values())
        print(f"{name}: {count:,} parameters, batch 8, loss {value:.3f}, {seconds:.2f} s a step")
    epochs = 1 if options.quick else 30
    accuracy, history = train(epochs)
    first, last = history.losses[0], history.epochs[-1]
    print(f"reduced: loss {first:.3f} to {last:.3f} in {epochs} epochs, accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
