"""A character LSTM learns a short text: `python examples/character_lstm.py [--quick]`.

Every character is embedded, passes a long short-term memory, and predicts the next one. The net is
unrolled over 40 characters; what it has learned it shows by going on by itself from a few letters.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))  # the optimizer's own example beside this file

from lenet import Adam

import graphc

TEXT = Path(__file__).parent / "data" / "harbour.txt"
HIDDEN, LENGTH, BATCH, RATE = 96, 40, 16, 4e-3


def load():
    """The text as numbers, and the characters that they stand for."""
    text = TEXT.read_text(encoding="utf-8")
    letters = sorted(set(text))
    return np.array([letters.index(c) for c in text]), letters


def shapes(letters, hidden=HIDDEN):
    """The parameters' shapes."""
    return {
        "table": (letters, hidden),
        "W": (hidden, 4 * hidden),
        "U": (hidden, 4 * hidden),
        "b": (4 * hidden,),
        "W_out": (hidden, letters),
        "b_out": (letters,),
    }


def network(text, h, c, p):
    """The mean cross-entropy of each next character, and the state after the last.

    text: [batch, length + 1] numbers of characters; h, c: [batch, hidden].
    """
    rows = graphc.embedding(p["table"], text[:, :-1])
    losses = []
    for step in range(rows.shape[1]):
        h, c = graphc.lstm_cell(rows[:, step], h, c, p["W"], p["U"], p["b"])
        scores = h @ p["W_out"] + p["b_out"]
        losses.append(graphc.cross_entropy(scores, text[:, step + 1]))
    return {"loss": np.stack(losses).mean(), "h": h, "c": c}


def types(letters, hidden=HIDDEN):
    """The parameters' types."""
    found = shapes(letters, hidden).items()
    return {name: graphc.param(f"f32[{', '.join(map(str, shape))}]") for name, shape in found}


def training_graph(letters, length=LENGTH, hidden=HIDDEN):
    """The unrolled network as a graph."""
    state = f"f32[batch, {hidden}]"
    return graphc.trace(network, f"i64[batch, {length + 1}]", state, state, types(letters, hidden))


def start(rng, letters, hidden=HIDDEN):
    """Random weights (Glorot and Bengio, 2010); forget gates begin open."""
    params = {}
    for name, shape in shapes(letters, hidden).items():
        scale = np.sqrt(2 / sum(shape)) if len(shape) > 1 else 0.0
        params[name] = (scale * rng.normal(size=shape)).astype(np.float32)
    params["b"][hidden : 2 * hidden] = 1
    return params


def train(steps, seed=0, report=None):
    """Train on random pieces of the text; return (params, losses)."""
    rng = np.random.default_rng(seed)
    text, letters = load()
    params = start(rng, len(letters))
    step = graphc.compile(training_graph(len(letters)), of="loss", wrt="p")
    adam = Adam(params, RATE)
    zero = np.zeros((BATCH, HIDDEN), np.float32)
    losses = []
    for count in range(steps):
        first = rng.integers(0, len(text) - LENGTH, BATCH)
        pieces = text[first[:, None] + np.arange(LENGTH + 1)]
        value, grads = step.value_and_grad(pieces, zero, zero, params)
        # The gradient of a long product can be huge: it keeps its direction, not its size.
        norm = np.sqrt(sum(np.vdot(g, g) for g in grads.values()))
        adam.step({name: g / max(np.float32(1), norm / 5) for name, g in grads.items()})
        losses.append(float(value["loss"]))
        if report and (count + 1) % 100 == 0:
            report(count + 1, np.mean(losses[-100:]))
    return params, losses


def go_on(params, beginning, count):
    """The beginning, continued by the likeliest character each time."""
    _, letters = load()
    state = f"f32[batch, {HIDDEN}]"

    def one(now, h, c, p):
        rows = graphc.embedding(p["table"], now)
        hidden, cell = graphc.lstm_cell(rows, h, c, p["W"], p["U"], p["b"])
        return {"scores": hidden @ p["W_out"] + p["b_out"], "h": hidden, "c": cell}

    step = graphc.compile(graphc.trace(one, "i64[batch]", state, state, types(len(letters))))
    h = c = np.zeros((1, HIDDEN), np.float32)
    text = beginning
    for place in range(len(beginning) + count - 1):
        found = step(np.array([letters.index(text[place])]), h, c, params)
        h, c = found["h"], found["c"]
        if place >= len(beginning) - 1:
            text += letters[int(np.argmax(found["scores"]))]
    return text


def main(arguments=None):
    """Train, show a continuation, and return the last loss."""
    parser = argparse.ArgumentParser(description="A character LSTM learns a short text.")
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)

    def report(step, loss):
        print(f"step {step}: {loss / np.log(2):.2f} bits a character", flush=True)

    params, losses = train(20 if options.quick else 1500, report=report)
    print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    print(go_on(params, "The keeper", 120))
    return losses[-1]


if __name__ == "__main__":
    main()
