"""A character LSTM learns a short text: `python examples/character_lstm.py [--quick]`.

Every character is embedded, passes a long short-term memory, and predicts the next one. The net is
unrolled over 40 characters; what it has learned it shows by going on by itself from a few letters.
"""

import argparse
from pathlib import Path

import numpy as np

import graphc

TEXT = Path(__file__).parent / "data" / "harbour.txt"
HIDDEN, LENGTH, BATCH, RATE = 96, 40, 16, 4e-3


def load():
    """The text as numbers, and the characters that they stand for."""
    text = TEXT.read_text(encoding="utf-8")
    letters = sorted(set(text))
    return np.array([letters.index(c) for c in text]), letters


def pieces(text, length, steps, seed=0):
    """What `fit` takes as data: each epoch `steps` batches of random pieces of the text."""

    def epoch_of(epoch):
        rng = np.random.default_rng([seed, epoch])
        for _ in range(steps):
            first = rng.integers(0, len(text) - length, BATCH)
            yield text[first[:, None] + np.arange(length + 1)]

    return epoch_of


def report(epoch, loss):
    """Print the mean loss of an epoch."""
    print(f"epoch {epoch + 1}: {loss / np.log(2):.2f} bits a character", flush=True)


def parameters(letters, hidden=HIDDEN, dtype="f32"):
    """The parameters' types, and how they begin (Glorot and Bengio, 2010)."""
    glorot = graphc.initialisers.glorot_normal()
    return {
        "table": graphc.param(f"{dtype}[{letters}, {hidden}]", init=glorot),
        "W": graphc.param(f"{dtype}[{hidden}, {4 * hidden}]", init=glorot),
        "U": graphc.param(f"{dtype}[{hidden}, {4 * hidden}]", init=glorot),
        "b": graphc.param(f"{dtype}[{4 * hidden}]", init=0),
        "W_out": graphc.param(f"{dtype}[{hidden}, {letters}]", init=glorot),
        "b_out": graphc.param(f"{dtype}[{letters}]", init=0),
    }


def after(row, h, c, p):
    """The scores of the next character, and the new state, after a character's embedding."""
    h, c = graphc.lstm_cell(row, h, c, p["W"], p["U"], p["b"])
    return h @ p["W_out"] + p["b_out"], h, c


def network(text, params):
    """The mean cross-entropy of each next character; text: [batch, length + 1] numbers."""
    rows = graphc.embedding(params["table"], text[:, :-1])
    h = c = 0 * rows[:, 0]
    losses = []
    for step in range(rows.shape[1]):
        scores, h, c = after(rows[:, step], h, c, params)
        losses.append(graphc.cross_entropy(scores, text[:, step + 1]))
    return np.stack(losses).mean()


def training_graph(letters, length=LENGTH, **sizes):
    """The unrolled network as a graph."""
    return graphc.trace(network, f"i64[batch, {length + 1}]", parameters(letters, **sizes))


def train(epochs, steps=100, seed=0, callback=None):
    """Train on random pieces of the text, `steps` an epoch; return what `fit` does."""
    text, letters = load()
    # The gradient of a long product can be huge: clipped, it keeps its direction, not its size.
    adam = graphc.optimizers.Adam(RATE, clip=graphc.optimizers.ClipByNorm(5))
    step = graphc.train_step(training_graph(len(letters)), adam, donate=True)
    params = step.init_params(seed)
    params["b"][HIDDEN : 2 * HIDDEN] = 1  # forget gates begin open
    data = pieces(text, LENGTH, steps, seed)
    return graphc.fit(step, params, data, epochs=epochs, callback=callback)


def go_on(params, beginning, count):
    """The beginning, continued by the likeliest character each time."""
    _, letters = load()

    def one(now, h, c, params):
        scores, h, c = after(graphc.embedding(params["table"], now), h, c, params)
        return np.argmax(scores, axis=1), h, c

    state = f"f32[1, {HIDDEN}]"
    step = graphc.compile(graphc.trace(one, "i64[1]", state, state, parameters(len(letters))))
    h = c = np.zeros((1, HIDDEN), np.float32)
    text = beginning
    for place in range(len(beginning) + count - 1):
        following, h, c = step(np.array([letters.index(text[place])]), h, c, params)
        if place >= len(beginning) - 1:
            text += letters[following[0]]
    return text


def main(arguments=None):
    """Train, show a continuation, and return the history of the losses."""
    parser = argparse.ArgumentParser(description="A character LSTM learns a short text.")
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)
    found = train(1, 20) if options.quick else train(15, callback=report)
    print(found.history.text(log=True))
    print(go_on(found.params, "The keeper", 120))
    return found.history


if __name__ == "__main__":
    main()
