"""Train ReLU nets on 1,797 handwritten digits: `python examples/digits.py [--layers 3] [--quick]`.

The loss is declared in plain NumPy, and compiled together with its gradient and the update of
gradient descent into one function, which `graphc.fit` calls for one minibatch after another: sample
a batch, forward, backward, update. Five seeds, each with its own split (80/20, stratified,
shuffled), initial weights and batches. `--layers` says how deep the net is, two layers or three.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import graphc

DATA = Path(__file__).parent / "data" / "digits.npz"
HIDDEN, BATCH, EPOCHS, RATE = 64, 256, 150, 0.5
he = graphc.initialisers.he_normal()


@graphc.trace(
    x="f64[batch, 64]",
    y="i64[batch]",
    W1=graphc.param(f"f64[64, {HIDDEN}]", init=he),
    b1=graphc.param(f"f64[{HIDDEN}]", init=0),
    W2=graphc.param(f"f64[{HIDDEN}, 10]", init=he),
    b2=graphc.param("f64[10]", init=0),
)
def loss(x, y, W1, b1, W2, b2):
    h = graphc.relu(x @ W1 + b1)
    scores = h @ W2 + b2
    return graphc.cross_entropy(scores, y).mean()


@graphc.trace(
    x="f64[batch, 64]",
    y="i64[batch]",
    W1=graphc.param(f"f64[64, {HIDDEN}]", init=he),
    b1=graphc.param(f"f64[{HIDDEN}]", init=0),
    W2=graphc.param(f"f64[{HIDDEN}, {HIDDEN}]", init=he),
    b2=graphc.param(f"f64[{HIDDEN}]", init=0),
    W3=graphc.param(f"f64[{HIDDEN}, 10]", init=he),
    b3=graphc.param("f64[10]", init=0),
)
def loss_of_three(x, y, W1, b1, W2, b2, W3, b3):
    h1 = graphc.relu(x @ W1 + b1)
    h2 = graphc.relu(h1 @ W2 + b2)
    scores = h2 @ W3 + b3
    return graphc.cross_entropy(scores, y).mean()


NETS = {2: loss, 3: loss_of_three}


def load(dtype=np.float64):
    """The images as rows of 64 numbers in [0, 1], and their labels."""
    with np.load(DATA) as data:
        images = data["images"].reshape(-1, 64) / 16.0
        return images.astype(dtype), data["labels"].astype(np.int64)


def split(y, rng, share=0.8):
    """Shuffled indices for training and for testing, the same share of every digit."""
    train, test = [], []
    for digit in range(10):
        indices = rng.permutation(np.flatnonzero(y == digit))
        cut = round(share * len(indices))
        train.append(indices[:cut])
        test.append(indices[cut:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def predict(x, params):
    """The digit of every row."""
    *hidden, last = range(1, len(params) // 2 + 1)
    for k in hidden:
        x = np.maximum(x @ params[f"W{k}"] + params[f"b{k}"], 0)
    return np.argmax(x @ params[f"W{last}"] + params[f"b{last}"], axis=1)


def train(seed, epochs=EPOCHS, layers=2):
    """Train one net; return (test accuracy, mean loss of the last epoch, seconds of training)."""
    x, y = load()
    training, testing = split(y, np.random.default_rng(seed))
    step = graphc.train_step(NETS[layers], graphc.optimizers.GradientDescent(RATE), donate=True)
    params = step.init_params(seed)
    data = (x[training], y[training])

    began = time.perf_counter()
    found = graphc.fit(step, params, data, batch_size=BATCH, epochs=epochs, seed=seed)
    seconds = time.perf_counter() - began
    accuracy = np.mean(predict(x[testing], found.params) == y[testing])
    return accuracy, found.history.epochs[-1], seconds


def main(arguments=None):
    """Train one net a seed; print each accuracy and their median, which is returned."""
    parser = argparse.ArgumentParser(description="Train a net on handwritten digits.")
    parser.add_argument("--quick", action="store_true", help="one seed, a few epochs")
    parser.add_argument("--layers", type=int, choices=NETS, default=2)
    parser.add_argument("--seeds", type=int, default=5, help="how many nets to train")
    options = parser.parse_args(arguments)
    seeds, epochs = (1, 5) if options.quick else (options.seeds, EPOCHS)

    widths = "-".join(map(str, (64, *[HIDDEN] * (options.layers - 1), 10)))
    print(f"digits: {widths}, ReLU, {epochs} epochs in batches of {BATCH}, rate {RATE}")
    accuracies = []
    for seed in range(seeds):
        accuracy, value, seconds = train(seed, epochs, options.layers)
        accuracies.append(accuracy)
        print(f"seed {seed}: loss {value:.4f}, test accuracy {accuracy:.1%}, {seconds:.2f} s")
    median = float(np.median(accuracies))
    print(f"median test accuracy {median:.1%}")
    return median


if __name__ == "__main__":
    main()
