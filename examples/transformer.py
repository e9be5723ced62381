"""A small transformer language model on a short text: `python examples/transformer.py [--quick]`.

Two blocks of causal self-attention and a two-layer net, each after a layer norm and added to what
came in (Vaswani et al., 2017, with the norm first), over 48 characters at once.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))  # the text's own example beside this file

import character_lstm
from lenet import Adam

import graphc

WIDTH, HEADS, BLOCKS, LENGTH, BATCH, RATE = 64, 4, 2, 48, 16, 2e-3


def shapes(letters, width=WIDTH, length=LENGTH):
    """The parameters' shapes."""
    found = {"table": (letters, width), "place": (length, width)}
    for k in range(BLOCKS):
        found |= {
            f"scale_{k}": (width,),
            f"shift_{k}": (width,),
            f"W_qkv_{k}": (width, 3 * width),
            f"W_join_{k}": (width, width),
            f"scale_mlp_{k}": (width,),
            f"shift_mlp_{k}": (width,),
            f"W_up_{k}": (width, 4 * width),
            f"b_up_{k}": (4 * width,),
            f"W_down_{k}": (4 * width, width),
            f"b_down_{k}": (width,),
        }
    return found | {"scale_out": (width,), "shift_out": (width,), "W_out": (width, letters)}


def heads(x):
    """[batch, length, width] as [batch, heads, length, width // heads]."""
    batch, length, width = x.shape
    return x.reshape(batch, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)


def network(text, p):
    """The mean cross-entropy of each next character; text: [batch, length + 1] numbers."""
    length, width = p["place"].shape
    past = np.tril(np.ones((length, length), bool))
    h = graphc.embedding(p["table"], text[:, :-1]) + p["place"]
    for k in range(BLOCKS):
        x = graphc.layer_norm(h, p[f"scale_{k}"], p[f"shift_{k}"])
        q, key, v = np.split(x @ p[f"W_qkv_{k}"], 3, axis=-1)
        seen = graphc.attention(heads(q), heads(key), heads(v), past)
        joined = seen.transpose(0, 2, 1, 3).reshape(h.shape[0], length, width)
        h = h + joined @ p[f"W_join_{k}"]
        x = graphc.layer_norm(h, p[f"scale_mlp_{k}"], p[f"shift_mlp_{k}"])
        up = graphc.gelu(x @ p[f"W_up_{k}"] + p[f"b_up_{k}"])
        h = h + up @ p[f"W_down_{k}"] + p[f"b_down_{k}"]
    scores = graphc.layer_norm(h, p["scale_out"], p["shift_out"]) @ p["W_out"]
    return graphc.cross_entropy(scores, text[:, 1:]).mean()


def training_graph(letters, width=WIDTH, length=LENGTH, dtype="f32"):
    """The network as a graph."""
    params = {
        name: graphc.param(f"{dtype}[{', '.join(map(str, shape))}]")
        for name, shape in shapes(letters, width, length).items()
    }
    return graphc.trace(network, f"i64[batch, {length + 1}]", params)


def start(rng, letters, width=WIDTH, length=LENGTH):
    """Small random weights, scales one, shifts and biases zero."""
    params = {}
    for name, shape in shapes(letters, width, length).items():
        kind = name.partition("_")[0]
        value = np.full(shape, float(kind == "scale"))
        if len(shape) > 1:
            value = rng.normal(
                scale=0.02 if kind in ("table", "place") else shape[0] ** -0.5, size=shape
            )
        params[name] = value.astype(np.float32)
    return params


def train(steps, seed=0, report=None):
    """Train on random pieces of the text; return (params, losses)."""
    rng = np.random.default_rng(seed)
    text, letters = character_lstm.load()
    params = start(rng, len(letters))
    step = graphc.compile(training_graph(len(letters)))
    adam = Adam(params, RATE)
    losses = []
    for count in range(steps):
        first = rng.integers(0, len(text) - LENGTH, BATCH)
        pieces = text[first[:, None] + np.arange(LENGTH + 1)]
        value, grads = step.value_and_grad(pieces, params)
        adam.step(grads.p)
        losses.append(float(value))
        if report and (count + 1) % 100 == 0:
            report(count + 1, np.mean(losses[-100:]))
    return params, losses


def main(arguments=None):
    """Train; return the last loss."""
    parser = argparse.ArgumentParser(description="A small transformer learns a short text.")
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)

    def report(step, loss):
        print(f"step {step}: {loss / np.log(2):.2f} bits a character", flush=True)

    _, losses = train(20 if options.quick else 1000, report=report)
    print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    return losses[-1]


if __name__ == "__main__":
    main()
