"""Gates of one's own, in three ways: `python examples/own_gates.py [--quick]`.

A gate is its formula, and its derivative follows; or an index formula, for arrays; or a forward
pass that saves what its backward pass, written by hand, will need. All are compiled with the rest
of the circuit, and checked against numerical gradients.
"""

import argparse

import numpy as np

import graphc

# By its formula: SymPy derives d swish/dx, in a form that neither overflows nor cancels.
swish = graphc.elementwise("swish", "x / (1 + exp(-x))")

# By an index formula: a score of two vectors for each matrix W[o].
bilinear = graphc.contraction("bilinear", "score[o] = left[i] * W[o,i,j] * right[j]")


# By hand: the multiply gate keeps x and y, and hands each the gradient times the other one.
@graphc.primitive(result=lambda x, y: x)
def multiply(x, y):
    return x * y, (x, y)


@multiply.vjp
def _(saved, d):
    x, y = saved
    return d * y, d * x


@graphc.trace(x="f64", y="f64", z="f64")
def circuit(x, y, z):
    return multiply(x + y, z)


@graphc.trace(x="f64")
def activation(x):
    return swish(x)


@graphc.trace(left="f64[3]", W="f64[2, 3, 4]", right="f64[4]")
def similarity(left, W, right):
    return swish(bilinear(left, W, right)).sum()


def main(arguments=None):
    """Run and check the three gates; return (value, gradients) of the circuit."""
    parser = argparse.ArgumentParser(description="Gates of one's own.")
    parser.add_argument("--quick", action="store_true", help="the same: it is quick")
    parser.parse_args(arguments)

    value, grads = graphc.compile(circuit).value_and_grad(-2.0, 5.0, -4.0)
    print(f"multiply by hand: f = {value}, df/dx = {grads.x}, df/dy = {grads.y}, df/dz = {grads.z}")
    slope = graphc.compile(activation).value_and_grad(1.0)[1].x
    print(f"swish by its formula: swish'(1) = {slope:.6f}")
    rng = np.random.default_rng(0)
    arrays = {"left": rng.normal(size=3), "W": rng.normal(size=(2, 3, 4)), "right": np.ones(4)}
    print("bilinear by its index formula, each gradient against a numerical one:")
    print(graphc.check_grads(similarity, **arrays))
    return value, grads


if __name__ == "__main__":
    main()
