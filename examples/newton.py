"""Logistic regression by Newton's method: `python examples/newton.py [--quick]` (needs SciPy).

SciPy's Newton-CG asks for the Hessian times a vector, which is the gradient of <gradient, vector>:
two reverse passes, and the Hessian is never formed. The task: is a handwritten digit even or odd?
"""

import argparse

import digits
import numpy as np

import graphc


@graphc.trace(x="f64[n, 64]", y="f64[n]", w=graphc.param("f64[64]"), b=graphc.param("f64"))
def loss(x, y, w, b):
    """Mean of log(1 + exp(-y s)) for labels y of 1 and -1, and a small penalty."""
    scores = x @ w + b
    return np.log(1 + np.exp(-y * scores)).mean() + 1e-3 * (w * w).sum()


def load(count):
    """Images as rows in [0, 1]; 1 for even digits, -1 for odd ones."""
    x, y = digits.load()
    return x[:count], np.where(y[:count] % 2 == 0, 1.0, -1.0)


def solve(x, y, method):
    """SciPy's result and the objective that it minimised."""
    from scipy import optimize

    objective = graphc.scipy_objective(loss, {"w": np.zeros(64), "b": 0.0}, (x, y))
    second = {"hessp": objective.hessp} if method == "Newton-CG" else {}
    tolerance = {"xtol": 1e-10} if method == "Newton-CG" else {"gtol": 1e-8}
    found = optimize.minimize(
        objective.fun, objective.x0, jac=objective.jac, method=method, options=tolerance, **second
    )
    return found, objective


def main(arguments=None):
    """Solve by Newton-CG and by BFGS; print both; return {method: (loss, gradient, accuracy)}."""
    parser = argparse.ArgumentParser(description="Logistic regression by Newton-CG.")
    parser.add_argument("--quick", action="store_true", help="300 images")
    options = parser.parse_args(arguments)
    x, y = load(300 if options.quick else None)

    results = {}
    for method in ("Newton-CG", "BFGS"):
        found, objective = solve(x, y, method)
        params = objective.params(found.x)
        accuracy = np.mean(np.sign(x @ params["w"] + params["b"]) == y)
        gradient = np.abs(objective.jac(found.x)).max()
        results[method] = (found.fun, gradient, accuracy)
        print(
            f"{method:9}  {found.nit:3} iterations, {found.nfev:3} values, loss {found.fun:.10f}, "
            f"largest gradient {gradient:.1e}, accuracy {accuracy:.1%}"
        )
    return results


if __name__ == "__main__":
    main()
