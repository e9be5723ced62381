"""A Neural Turing Machine learns to copy: `python examples/neural_turing_machine.py [--quick]`.

After Graves, Wayne and Danihelka, "Neural Turing Machines" (2014). A controller reads a sequence of
random bits and writes it to a memory of N rows of M numbers; then, its input silent, it reads the
sequence back. Each head looks at the memory by

    content:     softmax over rows of strength * cosine similarity with a key
    gate:        the content's weighting against the weighting of the step before
    shift:       circular convolution with a distribution over -1, 0, +1 places
    sharpening:  weighting ** gamma, normalised

and a write head erases and adds. The machine is unrolled over its tape: one static graph for each
length, whose gradient is compiled like any other's. After training it shows where the heads were
while it copied: one row on at each step, and the same rows in reading as in writing. `--plot
copy.png` draws that beside the training curve (needs matplotlib).
"""

import argparse
import time
from importlib.util import find_spec

import numpy as np

import graphc

BITS, ROWS, WIDTH, HIDDEN = 8, 32, 16, 64
BATCH, RATE = 16, 2e-3


def parameters(bits=BITS, rows=ROWS, width=WIDTH, hidden=HIDDEN, dtype="f32"):
    """The parameters' types, and how they begin: weights by Glorot and Bengio (2010)."""
    # What a head is told by the controller: key, strength, gate, three shifts, sharpening.
    head = width + 1 + 1 + 3 + 1
    inputs = bits + 2 + width

    def weights(rows, columns):
        glorot = graphc.initialisers.glorot_normal()
        return graphc.param(f"{dtype}[{rows}, {columns}]", init=glorot)

    def zeros(size):
        return graphc.param(f"{dtype}[{size}]", init=0)

    return {
        "W": weights(inputs, 4 * hidden),  # the controller, an LSTM
        "U": weights(hidden, 4 * hidden),
        "b": zeros(4 * hidden),
        "h0": zeros(hidden),
        "W_read": weights(hidden, head),
        "b_read": zeros(head),
        "W_write": weights(hidden, head + 2 * width),
        "b_write": zeros(head + 2 * width),
        "W_out": weights(hidden + width, bits),
        "b_out": zeros(bits),
        "memory": graphc.param(f"{dtype}[{rows}, {width}]", init=graphc.initialisers.normal(0.1)),
        "first": zeros(rows),  # where the heads begin
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


def machine(tape, answer, params):
    """The scores of the answer's bits, their mean cross-entropy, and where the heads were.

    tape: [2 * length + 2, batch, bits + 2]; answer: [length, batch, bits].
    """
    p = params
    length, batch, width = answer.shape[0], tape.shape[1], p["memory"].shape[1]
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


def graph(length, bits=BITS, dtype="f32", **sizes):
    """The machine unrolled for sequences of one length."""
    tape = f"{dtype}[{2 * length + 2}, batch, {bits + 2}]"
    answer = f"{dtype}[{length}, batch, {bits}]"
    return graphc.trace(machine, tape, answer, parameters(bits, dtype=dtype, **sizes))


def start(step, seed):
    """The parameters to begin with; the heads begin at the first row."""
    params = step.init_params(seed)
    params["first"][0] = 5.0
    return params


def sequences(rng, length, batch, bits=BITS):
    """Random bits as tape and answer: a start mark, the bits, an end mark, silence."""
    answer = rng.integers(0, 2, size=(length, batch, bits)).astype(np.float32)
    tape = np.zeros((2 * length + 2, batch, bits + 2), np.float32)
    tape[0, :, bits] = 1
    tape[1 : length + 1, :, :bits] = answer
    tape[length + 1, :, bits + 1] = 1
    return tape, answer


def train(steps, longest, seed=0, rate=RATE, report=None, **sizes):
    """Train on random lengths up to `longest`; return (params, [(loss, share of wrong bits)])."""
    rng = np.random.default_rng(seed)
    # The machine forgets all at once where a step is too long: the rate falls, the norm is clipped.
    schedule = graphc.schedules.cosine(rate, steps)
    adam = graphc.optimizers.Adam(schedule, clip=graphc.optimizers.ClipByNorm(10))
    # One step a length; parameters and state are the same for all of them.
    graphs = [graph(length, **sizes) for length in range(1, longest + 1)]
    machines = [graphc.train_step(each, adam, of="loss", donate=True) for each in graphs]
    params = start(machines[0], seed)
    state = machines[0].init(params)
    curve = []
    for count in range(1, steps + 1):
        length = int(rng.integers(1, longest + 1))
        tape, answer = sequences(rng, length, BATCH, len(params["b_out"]))
        params, state, found = machines[length - 1](params, state, (tape, answer))
        wrong = np.mean((found.scores > 0) != (answer > 0.5))
        curve.append((float(found.loss), float(wrong)))
        if report and count % 100 == 0:
            report(count, *np.mean(curve[-100:], axis=0))
    return params, np.array(curve)


def copy(params, length, seed=1):
    """Copy one random sequence; return (bits [length, bits], probabilities, weights).

    weights: [2 * length + 2, 2, rows], where the write head and the read head were at each step.
    """
    bits, (rows, width) = len(params["b_out"]), params["memory"].shape
    run = graphc.compile(graph(length, bits, rows=rows, width=width, hidden=len(params["h0"])))
    tape, answer = sequences(np.random.default_rng(seed), length, 1, bits)
    found = run(tape, answer, params)
    return answer[:, 0], graphc.sigmoid(found.scores[:, 0]), found.weights[:, :, 0]


# -- pictures --------------------------------------------------------------------------------------


def shades(picture):
    """Numbers in [0, 1] as characters, the darker the larger; one line a row."""
    scale = np.array(list(" .:-=+*#%@"))
    rows = scale[np.rint(np.clip(picture, 0, 1) * 9).astype(int)]
    return ["".join(row) for row in rows]


def text_of_heads(weights):
    """The weightings of both heads over time: memory rows downwards, steps to the right."""
    write, read = weights[:, 0].T, weights[:, 1].T
    used = np.flatnonzero(np.maximum(write, read).max(axis=1) > 0.1)
    wide = max(len(weights), len("writes at"))
    lines = [f" row  {'writes at':{wide}}  reads at"]
    for row, left, right in zip(used, shades(write[used]), shades(read[used]), strict=True):
        lines.append(f"{row:4}  {left:{wide}}  {right}".rstrip())
    return "\n".join(lines)


def draw(path, curve, weights):
    """The training curve, and both weightings over time, by matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    curve_axes, *head_axes = figure.subplots(1, 3)
    size = min(100, len(curve))
    means = np.array([part.mean(axis=0) for part in np.array_split(curve, len(curve) // size)])
    at = size * np.arange(1, len(means) + 1)
    for values, label in zip(means.T, ("loss, nats a bit", "share of wrong bits"), strict=True):
        curve_axes.plot(at, np.where(values > 0, values, np.nan), label=label)
    curve_axes.set_yscale("log")
    curve_axes.set_xlabel("minibatch")
    curve_axes.legend()
    for axes, title, head in zip(head_axes, ("writes", "reads"), (0, 1), strict=True):
        axes.imshow(weights[:, head].T, cmap="gray_r", vmin=0, vmax=1, aspect="auto")
        axes.set_title(f"where the machine {title}")
        axes.set_xlabel("step")
        axes.set_ylabel("row of the memory")
    figure.savefig(path, dpi=80)


def main(arguments=None):
    """Train, printing the loss and the share of wrong bits, which is returned."""
    parser = argparse.ArgumentParser(description="A Neural Turing Machine learns to copy.")
    parser.add_argument("--quick", action="store_true", help="short sequences, few steps")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--longest", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--curve", metavar="FILE", help="keep the curve in this .csv file")
    parser.add_argument("--plot", metavar="FILE", help="draw curve and heads with matplotlib")
    options = parser.parse_args(arguments)
    steps, longest = (200, 2) if options.quick else (options.steps, options.longest)
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install 'graphc[plot]'; the text needs nothing")
    began = time.perf_counter()
    kept = []

    def report(step, loss, wrong):
        kept.append((step, loss, wrong))
        if step % 500 == 0 or options.quick:
            seconds = time.perf_counter() - began
            print(f"step {step}: loss {loss:.4f}, {wrong:.2%} wrong, {seconds:.0f} s", flush=True)

    params, curve = train(steps, longest, options.seed, report=report)
    wrong = float(curve[-100:, 1].mean())
    print(f"after {steps} steps: {wrong:.2%} of the bits wrong")
    bits, found, weights = copy(params, longest)
    print(text_of_heads(weights))
    print(f"one sequence of {longest}: {np.sum((found > 0.5) != bits)} of {bits.size} bits wrong")
    if options.curve:
        np.savetxt(options.curve, kept, ["%d", "%.5f", "%.5f"], ",", header="step,loss,wrong")
    if options.plot:
        draw(options.plot, curve, weights)
    return wrong


if __name__ == "__main__":
    main()
