"""A small transformer language model on a short text: `python examples/transformer.py [--quick]`.

Two blocks of causal self-attention and a two-layer net, each after a layer norm and added to what
came in (Vaswani et al., 2017, with the norm first), over 48 characters at once.
"""

import argparse

import character_lstm
import numpy as np

import graphc

WIDTH, HEADS, BLOCKS, LENGTH, RATE = 64, 4, 2, 48, 2e-3


def parameters(letters, width=WIDTH, length=LENGTH, dtype="f32"):
    """The parameters' types, and how they begin: small weights, norms that change nothing."""

    def weights(rows, columns, std=None):
        init = graphc.initialisers.normal(std or rows**-0.5)
        return graphc.param(f"{dtype}[{rows}, {columns}]", init=init)

    def vector(size, value=0):
        return graphc.param(f"{dtype}[{size}]", init=value)

    def norm():
        return {"scale": vector(width, 1), "shift": vector(width)}

    def block():
        return {
            "norm": norm(),
            "W_qkv": weights(width, 3 * width),
            "W_join": weights(width, width),
            "norm_mlp": norm(),
            "W_up": weights(width, 4 * width),
            "b_up": vector(4 * width),
            "W_down": weights(4 * width, width),
            "b_down": vector(width),
        }

    return {
        "table": weights(letters, width, 0.02),
        "place": weights(length, width, 0.02),
        "blocks": [block() for _ in range(BLOCKS)],
        "norm": norm(),
        "W_out": weights(width, letters),
    }


def heads(x):
    """[batch, length, width] as [batch, heads, length, width // heads]."""
    batch, length, width = x.shape
    return x.reshape(batch, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)


def scores(text, params):
    """The scores of each next character [batch, length, letters]; text: [batch, length]."""
    length, width = params["place"].shape
    past = np.tril(np.ones((length, length), bool))
    h = graphc.embedding(params["table"], text) + params["place"]
    for p in params["blocks"]:
        x = graphc.layer_norm(h, p["norm"]["scale"], p["norm"]["shift"])
        q, key, v = np.split(x @ p["W_qkv"], 3, axis=-1)
        seen = graphc.attention(heads(q), heads(key), heads(v), past)
        joined = seen.transpose(0, 2, 1, 3).reshape(h.shape[0], length, width)
        h = h + joined @ p["W_join"]
        x = graphc.layer_norm(h, p["norm_mlp"]["scale"], p["norm_mlp"]["shift"])
        h = h + graphc.gelu(x @ p["W_up"] + p["b_up"]) @ p["W_down"] + p["b_down"]
    return graphc.layer_norm(h, params["norm"]["scale"], params["norm"]["shift"]) @ params["W_out"]


def network(text, params):
    """The mean cross-entropy of each next character; text: [batch, length + 1] numbers."""
    return graphc.cross_entropy(scores(text[:, :-1], params), text[:, 1:]).mean()


def training_graph(letters, length=LENGTH, **sizes):
    """The network as a graph."""
    types = parameters(letters, length=length, **sizes)
    return graphc.trace(network, f"i64[batch, {length + 1}]", types)


def train(epochs, steps=100, seed=0, callback=None):
    """Train on random pieces of the text, `steps` an epoch; return what `fit` does."""
    text, letters = character_lstm.load()
    adam = graphc.optimizers.Adam(RATE)
    step = graphc.train_step(training_graph(len(letters)), adam, donate=True)
    data = character_lstm.pieces(text, LENGTH, steps, seed)
    return graphc.fit(step, step.init_params(seed), data, epochs=epochs, callback=callback)


def go_on(params, count):
    """The beginning of the text, continued by the likeliest character each time."""
    text, letters = character_lstm.load()
    types = parameters(len(letters))
    apply = graphc.compile(graphc.trace(scores, f"i64[1, {LENGTH}]", types))
    said = list(text[:LENGTH])
    for _ in range(count):
        found = apply(np.array([said[-LENGTH:]]), params)
        said.append(np.argmax(found[0, -1]))
    return "".join(letters[k] for k in said)


def main(arguments=None):
    """Train, show a continuation, and return the history of the losses."""
    parser = argparse.ArgumentParser(description="A small transformer learns a short text.")
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)
    found = train(1, 20) if options.quick else train(10, callback=character_lstm.report)
    print(found.history.text(log=True))
    print(go_on(found.params, 120))
    return found.history


if __name__ == "__main__":
    main()
