"""Minibatch gradient descent and the curve of its loss: `python examples/minibatch.py [--quick]`.

The two-layer net of digits.py. The loop has four steps: sample a batch of 256, forward,
backward, update; the last three are one compiled function. `graphc.fit` is the same loop with
history, progress and checkpoints, and finds the same numbers from the same batches.
`--plot loss.png` draws the loss over minibatches with matplotlib; it is shown in characters too.
"""

import argparse

import digits
import numpy as np

import graphc

BATCH, EPOCHS, RATE = 256, 60, 0.5


def by_hand(x, y, epochs):
    """The loop itself; returns the parameters and the loss of every minibatch."""
    step = graphc.train_step(digits.loss, graphc.optimizers.GradientDescent(RATE))
    params = step.init_params(seed=0)
    state = step.init(params)
    losses = []
    for epoch in range(epochs):
        order = np.random.default_rng([0, epoch]).permutation(len(x))
        for first in range(0, len(x), BATCH):
            batch = order[first : first + BATCH]
            params, state, value = step(params, state, (x[batch], y[batch]))
            losses.append(value)
    return params, np.array(losses)


def by_fit(x, y, epochs):
    """The same by `graphc.fit`."""
    step = graphc.train_step(digits.loss, graphc.optimizers.GradientDescent(RATE))
    params = step.init_params(seed=0)
    return graphc.fit(step, params, (x, y), batch_size=BATCH, epochs=epochs, seed=0)


def main(arguments=None):
    """Train by hand and by `fit`; print the curve; return the losses of both."""
    parser = argparse.ArgumentParser(description="Minibatch gradient descent on digits.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    parser.add_argument("--plot", metavar="FILE", help="draw the loss with matplotlib")
    options = parser.parse_args(arguments)
    epochs = 5 if options.quick else EPOCHS

    x, y = digits.load()
    _, losses = by_hand(x, y, epochs)
    found = by_fit(x, y, epochs)
    print(f"loss over {len(losses)} minibatches of {BATCH}, gradient descent at rate {RATE}")
    print(found.history.text(log=True))
    print(f"first {losses[0]:.4f}, last epoch's mean {found.history.epochs[-1]:.4f}")
    if options.plot:
        found.history.plot(options.plot)
    return losses, found.history.losses


if __name__ == "__main__":
    main()
