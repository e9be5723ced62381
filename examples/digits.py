"""Train a two-layer ReLU net on 1,797 handwritten digits: `python examples/digits.py [--quick]`.

The loss is declared in plain NumPy, compiled to a fused value-and-gradient function, and minimised
by minibatch gradient descent: sample a batch, forward, backward, update. Five seeds, each with its
own split (80/20, stratified, shuffled), initial weights and batches.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import graphc

DATA = Path(__file__).parent / "data" / "digits.npz"
HIDDEN, BATCH, EPOCHS, RATE = 64, 256, 150, 0.5


@graphc.trace(
    x="f64[batch, 64]",
    y="i64[batch]",
    W1=graphc.param(f"f64[64, {HIDDEN}]"),
    b1=graphc.param(f"f64[{HIDDEN}]"),
    W2=graphc.param(f"f64[{HIDDEN}, 10]"),
    b2=graphc.param("f64[10]"),
)
def loss(x, y, W1, b1, W2, b2):
    h = graphc.relu(x @ W1 + b1)
    scores = h @ W2 + b2
    return graphc.cross_entropy(scores, y).mean()


def load():
    """The images as rows of 64 numbers in [0, 1], and their labels."""
    with np.load(DATA) as data:
        return data["images"].reshape(-1, 64) / 16.0, data["labels"].astype(np.int64)


def split(y, rng, share=0.8):
    """Shuffled indices for training and for testing, the same share of every digit."""
    train, test = [], []
    for digit in range(10):
        indices = rng.permutation(np.flatnonzero(y == digit))
        cut = round(share * len(indices))
        train.append(indices[:cut])
        test.append(indices[cut:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def start(rng):
    """Random weights of a size that keeps the activations' variance (He et al., 2015)."""
    W1 = rng.normal(scale=np.sqrt(2 / 64), size=(64, HIDDEN))
    W2 = rng.normal(scale=np.sqrt(2 / HIDDEN), size=(HIDDEN, 10))
    return W1, np.zeros(HIDDEN), W2, np.zeros(10)


def predict(x, W1, b1, W2, b2):
    """The digit of every row."""
    return np.argmax(np.maximum(x @ W1 + b1, 0) @ W2 + b2, axis=1)


def train(seed, epochs=EPOCHS, progress=lambda done, value: None):
    """Train one net; return (test accuracy, last loss, seconds of training)."""
    rng = np.random.default_rng(seed)
    x, y = load()
    training, testing = split(y, rng)
    params = start(rng)
    step = graphc.compile(loss)

    began = time.perf_counter()
    for epoch in range(epochs):
        order = rng.permutation(training)
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            value, grads = step.value_and_grad(x[batch], y[batch], *params)
            for param, grad in zip(params, grads, strict=True):
                param -= RATE * grad
        progress((epoch + 1) / epochs, value)
    seconds = time.perf_counter() - began
    return np.mean(predict(x[testing], *params) == y[testing]), value, seconds


def progress_bar(label, stream=sys.stderr, width=30):
    """A function of (share done, loss) that redraws one line; it does nothing off a terminal."""
    if not stream.isatty():
        return lambda done, value: None

    def draw(done, value):
        filled = round(width * done)
        bar = "#" * filled + "." * (width - filled)
        print(f"\r{label} [{bar}] loss {value:.4f} ", end="", file=stream, flush=True)
        if done >= 1:
            print("\r\033[K", end="", file=stream, flush=True)

    return draw


def main(arguments=None):
    """Train one net a seed; print each accuracy and their median, which is returned."""
    parser = argparse.ArgumentParser(description="Train a net on handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="one seed, a few epochs")
    parser.add_argument("--seeds", type=int, default=5, help="how many nets to train")
    options = parser.parse_args(arguments)
    seeds, epochs = (1, 5) if options.quick else (options.seeds, EPOCHS)

    print(f"digits: 64-{HIDDEN}-10, ReLU, {epochs} epochs in batches of {BATCH}, rate {RATE}")
    accuracies = []
    for seed in range(seeds):
        accuracy, value, seconds = train(seed, epochs, progress_bar(f"seed {seed}"))
        accuracies.append(accuracy)
        print(f"seed {seed}: loss {value:.4f}, test accuracy {accuracy:.1%}, {seconds:.2f} s")
    median = float(np.median(accuracies))
    print(f"median test accuracy {median:.1%}")
    return median


if __name__ == "__main__":
    main()
