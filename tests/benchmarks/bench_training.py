"""Training steps: loss, gradient and Adam in one, against the hand's, PyTorch's and JAX's.

    python tests/benchmarks/bench_training.py [part of a row's name ...]

One process, pinned to one core; candidates take turns. graphc: `train_step` with donated arrays.
The hand: the best gradient in NumPy, then ten passes in place. PyTorch: eager, Adam over lists of
arrays (foreach). JAX: one jitted step with optax, its buffers donated. All begin with the same
parameters, and must have the same loss after some steps. The last row is the update alone.
"""

# What decides the number of threads must be set before NumPy is imported.
import os
import sys

if __name__ == "__main__":
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import importlib.util
import statistics

import numpy as np
import report
import timing
from cases import mlp

import graphc

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
# Steps after which the losses must agree; f32 sums in another order drift apart.
CHECKED, TOLERANCE = 5, 1e-3
# A row's name, its sizes, and the largest ratios to PyTorch and to JAX that are good enough.
ROWS = (
    ("MLP 20-16-16-3, batch 32", (32, 20, 16, 16, 3), 1.0, 1.0),
    ("MLP 784-256-256-10, batch 128", (128, 784, 256, 256, 10), 1.0, 1.0),
    ("MLP 784-1024-1024-10, batch 256", (256, 784, 1024, 1024, 10), 1.06, 1.06),
)
UPDATE, ELEMENTS, AGAINST_TORCH, AGAINST_JAX = "Adam alone, 1e6", 1_000_000, 0.8, 1.1


class HandAdam:
    """The update in place, ten passes a parameter: the slots are m / (1 - beta1) and
    v / (1 - beta2), so that the averages need no second product."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.mean = [np.zeros_like(w) for w in parameters]
        self.square = [np.zeros_like(w) for w in parameters]
        self.scratch = [np.empty_like(w) for w in parameters]
        self.count = 0

    def step(self, gradients):
        """One update."""
        self.count += 1
        second = np.sqrt((1 - BETA2) / (1 - BETA2**self.count))
        pace = np.float32(RATE * (1 - BETA1) / (1 - BETA1**self.count) / second)
        epsilon = np.float32(EPSILON / second)
        rows = (self.parameters, gradients, self.mean, self.square, self.scratch)
        for w, g, m, v, t in zip(*rows, strict=True):
            m *= BETA1
            m += g
            v *= BETA2
            np.multiply(g, g, out=t)
            v += t
            np.sqrt(v, out=t)
            t += epsilon
            np.divide(m, t, out=t)
            t *= pace
            w -= t


def torch_adam(parameters):
    """PyTorch's optimizer over copies of arrays: (tensors, optimizer)."""
    import torch

    torch.set_num_threads(1)
    tensors = [torch.tensor(w, requires_grad=True) for w in parameters]
    rule = torch.optim.Adam(tensors, RATE, (BETA1, BETA2), EPSILON, foreach=True)
    return tensors, rule


def steps_of(case):
    """For each library, a call that takes one step and returns the loss."""
    x, y, *start = case.arguments.values()
    names = case.wrt
    adam = graphc.optimizers.Adam(RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    step = graphc.train_step(case.graph(), adam, wrt=names, donate=True)
    kept = {"params": {n: w.copy() for n, w in zip(names, start, strict=True)}}
    kept["state"] = step.init(kept["params"])

    def ours():
        kept["params"], kept["state"], value = step(kept["params"], kept["state"], (x, y))
        return value

    own = [w.copy() for w in start]
    rule = HandAdam(own)

    def hand():
        value, gradients = case.hand(x, y, *own)
        rule.step(gradients)
        return value

    found = {"graphc": ours, "hand": hand}
    if importlib.util.find_spec("torch"):
        found["torch"] = torch_step(case.peers["torch"], x, y, start)
    if importlib.util.find_spec("jax") and importlib.util.find_spec("optax"):
        found["jax"] = jax_step(case.peers["jax"], x, y, start)
    return found


def torch_step(loss, x, y, start):
    """An eager step."""
    import torch

    tensors, rule = torch_adam(start)
    x, y = torch.tensor(x), torch.tensor(y)

    def call():
        rule.zero_grad()
        value = loss(x, y, *tensors)
        value.backward()
        rule.step()
        return value.detach()

    return call


def jax_step(loss, x, y, start):
    """A jitted step that takes its buffers over."""
    import jax
    import optax

    rule = optax.adam(RATE, BETA1, BETA2, EPSILON)
    x, y = jax.numpy.asarray(x), jax.numpy.asarray(y)

    def step(parameters, state):
        value, gradients = jax.value_and_grad(lambda p: loss(x, y, *p))(parameters)
        updates, state = rule.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    step = jax.jit(step, donate_argnums=(0, 1))
    kept = {"params": tuple(jax.numpy.array(w) for w in start)}
    kept["state"] = rule.init(kept["params"])

    def call():
        kept["params"], kept["state"], value = step(kept["params"], kept["state"])
        jax.block_until_ready(kept["params"])
        return value

    return call


def updates():
    """For each library, a call of the update alone, on one parameter."""
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal((2, ELEMENTS), np.float32)
    adam = graphc.optimizers.Adam(RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)

    def rule(w, g, mean, square, count):
        new, slots = adam.update(w, g, {"mean": mean, "square": square}, RATE, count)
        return {"w": new, **slots}

    graph = graphc.trace(rule, *[f"f32[{ELEMENTS}]"] * 4, "f64")
    f = graphc.compile(graph, (), donate=("w", "mean", "square"))
    kept = {"w": w.copy(), "mean": np.zeros_like(w), "square": np.zeros_like(w), "count": 0.0}

    def ours():
        count = kept["count"] + 1.0
        kept.update(f(g=g, **{**kept, "count": count})._asdict())
        kept["count"] = count

    by_hand = HandAdam([w.copy()])
    found = {"graphc": ours, "hand": lambda: by_hand.step([g])}
    if importlib.util.find_spec("torch"):
        import torch

        (tensor,), optimizer = torch_adam([w])
        tensor.grad = torch.tensor(g)
        found["torch"] = optimizer.step
    if importlib.util.find_spec("jax") and importlib.util.find_spec("optax"):
        found["jax"] = jax_update(w, g)
    for _ in range(CHECKED):
        for call in found.values():
            call()
    np.testing.assert_allclose(kept["w"], by_hand.parameters[0], rtol=1e-5, atol=1e-6)
    return found


def jax_update(w, g):
    """optax alone, jitted, its buffers donated."""
    import jax
    import optax

    rule = optax.adam(RATE, BETA1, BETA2, EPSILON)

    def update(w, state, g):
        change, state = rule.update(g, state, w)
        return optax.apply_updates(w, change), state

    update = jax.jit(update, donate_argnums=(0, 1))
    kept = {"w": jax.numpy.array(w)}
    kept["state"] = rule.init(kept["w"])
    g = jax.numpy.asarray(g)

    def call():
        kept["w"], kept["state"] = update(kept["w"], kept["state"], g)
        jax.block_until_ready(kept["w"])

    return call


def agree(name, candidates):
    """Raises where the losses after some steps differ."""
    losses = {who: [float(call()) for _ in range(CHECKED)][-1] for who, call in candidates.items()}
    for who, loss in losses.items():
        if abs(loss - losses["hand"]) > TOLERANCE * abs(losses["hand"]):
            raise AssertionError(f"{name}: {who} has the loss {loss}, the hand {losses['hand']}")


def measured(name, candidates, limits):
    """The row of the table, and whether it keeps its limits."""
    turns = timing.turns(candidates, 6.0)
    ours = turns["graphc"]
    ratios = {
        who: statistics.median(a / b for a, b in zip(ours, turns[who], strict=True))
        for who in candidates
        if who != "graphc"
    }
    kept = all(ratios.get(who, 0.0) <= limit for who, limit in limits.items())
    figures = [f"{ratios[who]:.2f}" if who in ratios else "" for who in ("hand", "torch", "jax")]
    asked = ", ".join(f"{limit:g}" for limit in limits.values())
    row = [name, report.seconds(statistics.median(ours)), *figures, asked]
    print(
        f"{'ok   ' if kept else 'SHORT'} {name:<34} {row[1]:>9}  {'  '.join(row[2:5])}", flush=True
    )
    return [*row, "ok" if kept else "**short**"], kept


def main():
    """Print the table row by row; whether every row keeps its limits."""
    parts = sys.argv[1:]
    rows, kept = [], True
    chosen = [row for row in ROWS if not parts or any(part in row[0] for part in parts)]
    for name, sizes, torch, jax in chosen:
        candidates = steps_of(mlp(*sizes))
        agree(name, candidates)
        row, fine = measured(name, candidates, {"torch": torch, "jax": jax})
        rows.append(row)
        kept = kept and fine
    if not parts or any(part in UPDATE for part in parts):
        limits = {"torch": AGAINST_TORCH, "jax": AGAINST_JAX}
        row, fine = measured(UPDATE, updates(), limits)
        rows.append(row)
        kept = kept and fine
    if not parts:
        head = ["step", "graphc", "/ hand", "/ torch", "/ jax", "limits: torch, jax", ""]
        peers = [who for who in ("torch", "jax", "optax") if importlib.util.find_spec(who)]
        text = [
            "Loss, gradient and Adam's update in one step, one core, arrays given away; torch is",
            "eager with foreach, jax is optax with donated buffers.",
            "",
            report.machine(peers),
            "",
            report.table(head, rows, left=(0, len(head) - 2, len(head) - 1)),
        ]
        report.write("Training steps", text)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
