"""All update rules on one net: `python examples/update_rules.py [--quick]`.

Gradient descent, momentum, Nesterov, Adagrad, RMSProp, Adam and AdamW train the two-layer net of
digits.py, from one start, in the same minibatches of 256. `--plot rules.png` draws the losses over
minibatches in one picture with matplotlib; a table says the same.
"""

import argparse

import digits

import graphc

BATCH, EPOCHS = 256, 30
RULES = {
    "gradient descent": graphc.optimizers.GradientDescent(0.1),
    "momentum": graphc.optimizers.Momentum(0.1),
    "Nesterov": graphc.optimizers.Nesterov(0.1),
    "Adagrad": graphc.optimizers.Adagrad(0.05),
    "RMSProp": graphc.optimizers.RMSProp(0.003),
    "Adam": graphc.optimizers.Adam(0.01),
    "AdamW": graphc.optimizers.AdamW(0.01),
}


def compare(epochs):
    """The history of each rule, by its name."""
    x, y = digits.load()
    whole = len(x) // BATCH * BATCH  # a last batch of five images would make the curves jagged
    histories = {}
    for name, rule in RULES.items():
        step = graphc.train_step(digits.loss, rule, donate=True)
        params = step.init_params(seed=0)
        found = graphc.fit(
            step, params, (x[:whole], y[:whole]), batch_size=BATCH, epochs=epochs, seed=0
        )
        histories[name] = found.history
    return histories


def draw(histories, path):
    """One picture of all losses, on a logarithmic axis; returns the axes."""
    axes = None
    for name, history in histories.items():
        axes = history.plot(axes=axes, label=name, linewidth=1)
    axes.set_yscale("log")
    axes.figure.savefig(path)
    return axes


def main(arguments=None):
    """Train by each rule; print a table; return the histories."""
    parser = argparse.ArgumentParser(description="Update rules compared on digits.")
    parser.add_argument("--quick", action="store_true", help="a few epochs")
    parser.add_argument("--plot", metavar="FILE", help="draw the losses with matplotlib")
    options = parser.parse_args(arguments)
    histories = compare(4 if options.quick else EPOCHS)

    steps = len(histories["Adam"])
    marks = [round(share * (steps - 1)) for share in (0, 0.1, 0.25, 0.5, 1)]
    print(f"{'loss at minibatch':18}" + "".join(f"{mark + 1:>10}" for mark in marks))
    for name, history in histories.items():
        print(f"{name:18}" + "".join(f"{history.losses[mark]:10.4f}" for mark in marks))
    if options.plot:
        draw(histories, options.plot)
    return histories


if __name__ == "__main__":
    main()
