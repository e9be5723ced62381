"""A Neural Turing Machine learns to copy: `python examples/neural_turing_machine.py [--quick]`.

After Graves, Wayne and Danihelka, "Neural Turing Machines" (2014). A controller reads a sequence of
random bits and writes it to a memory of N rows of M numbers; then, its input silent, it reads the
sequence back. Each head looks at the memory by

    content:     softmax over rows of strength * cosine similarity with a key
    gate:        the content's weighting against the weighting of the step before
    shift:       circular convolution with a distribution over -1, 0, +1 places
    sharpening:  weighting ** gamma, normalised

and a write head erases and adds. The machine is unrolled over its tape: one static graph for each
length, whose gradient is compiled like any other's.
"""

import argparse
import time

import numpy as np

import graphc

BITS, ROWS, WIDTH, HIDDEN = 8, 32, 16, 64
# What a head is told by the controller: key, strength, gate, three shifts, sharpening.
HEAD = WIDTH + 1 + 1 + 3 + 1


def shapes(bits=BITS, rows=ROWS, width=WIDTH, hidden=HIDDEN):
    """The parameters' shapes."""
    head = width + 6
    inputs = bits + 2 + width
    return {
        "W": (inputs, 4 * hidden),  # the controller, an LSTM
        "U": (hidden, 4 * hidden),
        "b": (4 * hidden,),
        "h0": (hidden,),
        "W_read": (hidden, head),
        "b_read": (head,),
        "W_write": (hidden, head + 2 * width),
        "b_write": (head + 2 * width,),
        "W_out": (hidden + width, bits),
        "b_out": (bits,),
        "memory": (rows, width),
        "first": (rows,),
    }


def address(memory, told, before, width):
    """The weighting of a head: [batch, rows], from what it is told and its weighting before."""
    key, told = np.tanh(told[:, :width]), told[:, width:]
    strength = graphc.softplus(told[:, 0:1])
    gate = graphc.sigmoid(told[:, 1:2])
    shift = graphc.softmax(told[:, 2:5])
    gamma = 1 + graphc.softplus(told[:, 5:6])

    likeness = graphc.cosine_similarity(memory, key[:, None, :], eps=1e-6)
    content = graphc.softmax(strength * likeness)
    gated = gate * content + (1 - gate) * before
    # A circle of all rows, with the three places of the shift at -1, 0 and +1.
    places = np.eye(memory.shape[1], dtype=np.float32)[[-1, 0, 1]]
    shifted = graphc.circular_convolution(gated, shift @ places)
    sharp = (shifted + 1e-8) ** gamma
    return sharp / sharp.sum(axis=1, keepdims=True)


def machine(tape, answer, params, length):
    """The scores of the answer's bits, their mean cross-entropy, and where the heads were.

    tape: [2 * length + 2, batch, bits + 2]; answer: [length, batch, bits].
    """
    p = params
    width = p["memory"].shape[1]
    batch = tape.shape[1]
    memory = np.broadcast_to(p["memory"], (batch, *p["memory"].shape))
    read_at = write_at = np.broadcast_to(graphc.softmax(p["first"]), memory.shape[:2])
    h = np.broadcast_to(np.tanh(p["h0"]), (batch, p["h0"].shape[0]))
    c = h * 0
    seen = (read_at[:, None, :] @ memory)[:, 0]
    weights = []
    scores = []
    for step in range(2 * length + 2):
        x = np.concatenate([tape[step], seen], axis=1)
        h, c = graphc.lstm_cell(x, h, c, p["W"], p["U"], p["b"])
        told = h @ p["W_write"] + p["b_write"]
        write_at = address(memory, told, write_at, width)
        erase = graphc.sigmoid(told[:, width + 6 : 2 * width + 6])
        add = np.tanh(told[:, 2 * width + 6 :])
        spot = write_at[:, :, None]
        memory = memory * (1 - spot * erase[:, None, :]) + spot * add[:, None, :]
        read_at = address(memory, h @ p["W_read"] + p["b_read"], read_at, width)
        seen = (read_at[:, None, :] @ memory)[:, 0]
        weights.append(np.stack([write_at, read_at]))
        if step >= length + 2:
            scores.append(np.concatenate([h, seen], axis=1) @ p["W_out"] + p["b_out"])
    scores = np.stack(scores)
    loss = (graphc.softplus(scores) - scores * answer).mean()
    return {"loss": loss, "scores": scores, "weights": np.stack(weights)}


def compiled(length, sizes=None):
    """The machine for sequences of one length, ready to be called."""
    sizes = sizes or shapes()
    bits = sizes["b_out"][0]
    params = {name: graphc.param(f"f32[{', '.join(map(str, s))}]") for name, s in sizes.items()}
    graph = graphc.trace(
        lambda tape, answer, params: machine(tape, answer, params, length),
        f"f32[{2 * length + 2}, batch, {bits + 2}]",
        f"f32[{length}, batch, {bits}]",
        params,
    )
    return graphc.compile(graph, of="loss")


def start(rng, sizes):
    """Random weights (Glorot and Bengio, 2010), biases zero, memory small."""
    params = {}
    for name, shape in sizes.items():
        scale = np.sqrt(2 / sum(shape)) if name[0] in "WU" else 0.0
        params[name] = (scale * rng.normal(size=shape)).astype(np.float32)
    params["memory"] += np.float32(0.1) * rng.normal(size=sizes["memory"]).astype(np.float32)
    params["first"][0] = 5.0  # heads begin at the first row
    return params


def sequences(rng, length, batch, bits):
    """Random bits as tape and answer: a start mark, the bits, an end mark, silence."""
    answer = rng.integers(0, 2, size=(length, batch, bits)).astype(np.float32)
    tape = np.zeros((2 * length + 2, batch, bits + 2), np.float32)
    tape[0, :, bits] = 1
    tape[1 : length + 1, :, :bits] = answer
    tape[length + 1, :, bits + 1] = 1
    return tape, answer


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization" (2015), the gradient clipped."""

    def __init__(self, params, rate):
        self.params, self.rate = params, rate
        self.state = {name: [np.zeros_like(p) for _ in range(2)] for name, p in params.items()}
        self.count = 0

    def step(self, grads):
        """One update of the parameters, in place."""
        self.count += 1
        norm = float(np.sqrt(sum(np.vdot(g, g) for g in grads.values())))
        scale = min(1.0, 10.0 / norm) if norm > 0 else 1.0
        for name, grad in grads.items():
            mean, square = self.state[name]
            g = grad * np.float32(scale)
            mean += np.float32(0.1) * (g - mean)
            square += np.float32(0.001) * (g * g - square)
            rate = self.rate * np.sqrt(1 - 0.999**self.count) / (1 - 0.9**self.count)
            self.params[name] -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


def train(steps, longest, sizes=None, batch=16, rate=2e-3, seed=0, report=None):
    """Train on random lengths up to `longest`; return (params, [(loss, share wrong)])."""
    rng = np.random.default_rng(seed)
    sizes = sizes or shapes()
    params = start(rng, sizes)
    machines, curve = {}, []
    optimizer = Adam(params, rate)
    for step in range(steps):
        length = int(rng.integers(1, longest + 1))
        if length not in machines:
            machines[length] = compiled(length, sizes)
        tape, answer = sequences(rng, length, batch, sizes["b_out"][0])
        value, grads = machines[length].value_and_grad(tape, answer, params)
        optimizer.step(grads.params)
        wrong = np.mean((value["scores"] > 0) != (answer > 0.5))
        curve.append((float(value["loss"]), float(wrong)))
        if report and (step + 1) % 100 == 0:
            report(step + 1, np.mean(curve[-100:], axis=0))
    return params, curve


def main(arguments=None):
    """Train, printing the loss and the share of wrong bits, which is returned."""
    parser = argparse.ArgumentParser(description="A Neural Turing Machine learns to copy.")
    parser.add_argument("--quick", action="store_true", help="short sequences, few steps")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--longest", type=int, default=10)
    parser.add_argument("--curve", help="keep the curve in this .csv file")
    options = parser.parse_args(arguments)
    steps, longest = (200, 2) if options.quick else (options.steps, options.longest)
    began = time.perf_counter()

    kept = []

    def report(step, last):
        kept.append((step, *last))
        seconds = time.perf_counter() - began
        print(f"step {step}: loss {last[0]:.4f}, {last[1]:.2%} wrong, {seconds:.0f} s", flush=True)
        if options.curve:
            np.savetxt(options.curve, kept, ["%d", "%.5f", "%.5f"], ",", header="step,loss,wrong")

    _, curve = train(steps, longest, report=report)
    wrong = float(np.mean([w for _, w in curve[-100:]]))
    print(f"after {steps} steps: {wrong:.2%} of the bits wrong")
    return wrong


if __name__ == "__main__":
    main()
