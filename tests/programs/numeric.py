"""Programs of plain NumPy as people write them: finance, physics, fitting, signals, clustering."""

import numpy as np
from scipy.special import erf


def kmeans_objective(X, centers):
    """The sum of squared distances to the nearest centre."""
    distances = np.sum((X[:, np.newaxis, :] - centers) ** 2, axis=-1)
    return distances.min(axis=1).sum()


def logistic_regression(w, b, X, y, alpha):
    """The loss of L2-regularised logistic regression, labels -1 and 1."""
    margins = y * (np.dot(X, w) + b)
    return np.logaddexp(0, -margins).mean() + 0.5 * alpha * np.dot(w, w)


def softmax_regression(W, X, Y, alpha):
    """Multinomial logistic regression on one-hot labels."""
    scores = X @ W
    scores = scores - scores.max(axis=1, keepdims=True)
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -(Y * log_probabilities).sum() / X.shape[0] + alpha * (W**2).sum()


def huber_regression(w, X, y, epsilon):
    """Squared residuals where they are small, absolute ones where they are large."""
    r = np.abs(y - X @ w)
    return np.where(r < epsilon, 0.5 * r**2, epsilon * (r - 0.5 * epsilon)).sum()


def soft_dtw(a, b, gamma):
    """Dynamic time warping with a soft minimum.

    M. Cuturi, M. Blondel, "Soft-DTW: a Differentiable Loss Function for Time-Series", ICML 2017.
    """
    n, m = len(a), len(b)
    D = (a[:, None] - b[None, :]) ** 2
    R = {(i, 0): 1e10 for i in range(n + 1)}
    R.update({(0, j): 1e10 for j in range(m + 1)})
    R[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            z = -np.stack([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]]) / gamma
            z_max = np.max(z)
            softmin = -gamma * (np.log(np.sum(np.exp(z - z_max))) + z_max)
            R[i, j] = D[i - 1, j - 1] + softmin
    return R[n, m]


def normal_cdf(x):
    return 0.5 * (1 + erf(x / np.sqrt(2)))


def black_scholes_call(S, K, T, r, sigma):
    """The price of a European call."""
    d1 = (np.log(S / K) + (r + 0.5 * sigma**2) * T) / (sigma * np.sqrt(T))
    d2 = d1 - sigma * np.sqrt(T)
    return S * normal_cdf(d1) - K * np.exp(-r * T) * normal_cdf(d2)


def lotka_volterra(state, parameters):
    prey, predators = state
    alpha, beta, delta, gamma = parameters
    return np.stack(
        [alpha * prey - beta * prey * predators, delta * prey * predators - gamma * predators]
    )


def rk4_step(f, y, h, *args):
    k1 = f(y, *args)
    k2 = f(y + 0.5 * h * k1, *args)
    k3 = f(y + 0.5 * h * k2, *args)
    k4 = f(y + h * k3, *args)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def lotka_volterra_fit(parameters, y0, observed, h):
    """How far the trajectory from y0 is from what was observed at every step."""
    y = y0
    error = 0.0
    for row in observed:
        y = rk4_step(lotka_volterra, y, h, parameters)
        error += np.sum((y - row) ** 2)
    return error


def two_body_energy(r, v, m, G):
    """Kinetic and potential energy of two bodies; its gradient by r is minus the force."""
    separation = np.linalg.norm(r[0] - r[1])
    kinetic = 0.5 * np.sum(m * np.sum(v**2, axis=1))
    return kinetic - G * m[0] * m[1] / separation


def ising_energy(spins, J, h):
    """The energy of a square lattice of soft spins with periodic boundaries."""
    s = np.tanh(spins)
    right, down = np.roll(s, -1, axis=1), np.roll(s, -1, axis=0)
    return -J * np.sum(s * (right + down)) - h * np.sum(s)


def natural_spline(x, y, at):
    """A natural cubic spline through (x, y), at other points inside."""
    n = len(x)
    h = np.diff(x)
    slopes = np.diff(y) / h
    A = np.diag(2 * (h[:-1] + h[1:])) + np.diag(h[1:-1], 1) + np.diag(h[1:-1], -1)
    second = np.concatenate([[0.0], np.linalg.solve(A, 6 * np.diff(slopes)), [0.0]])
    k = np.clip(np.searchsorted(x, at) - 1, 0, n - 2)
    left, right = at - x[k], x[k + 1] - at
    return (
        (second[k] * right**3 + second[k + 1] * left**3) / (6 * h[k])
        + (y[k] / h[k] - second[k] * h[k] / 6) * right
        + (y[k + 1] / h[k] - second[k + 1] * h[k] / 6) * left
    )


def fir_filter_error(taps, signal, wanted):
    """The mean squared error of a filtered signal."""
    filtered = np.convolve(signal, taps, mode="valid")
    return np.mean((filtered - wanted[len(taps) - 1 :]) ** 2)


def pendulum(y, damping):
    return np.stack([y[1], -np.sin(y[0]) - damping * y[1]])


def shooting_error(velocity, damping, target, steps, T):
    """How far a pendulum that starts hanging with this velocity ends from the target angle."""
    y = np.stack([0.0, velocity])
    for _ in range(steps):
        y = rk4_step(pendulum, y, T / steps, damping)
    return (y[0] - target) ** 2


def heat_equation_misfit(conductivity, u0, measured, steps, dt):
    """Explicit finite differences with a conductivity at every face, against measured values."""
    u = u0
    for _ in range(steps):
        flux = conductivity * np.diff(u)
        inner = u[1:-1] + dt * np.diff(flux)
        u = np.concatenate([u[:1], inner, u[-1:]])
    return 0.5 * np.sum((u - measured) ** 2)


def matrix_factorisation(U, V, ratings, seen, penalty):
    """The squared error of the ratings that were seen, for a recommender of low rank."""
    error = seen * (ratings - U @ V.T)
    return np.sum(error**2) + penalty * (np.sum(U**2) + np.sum(V**2))


def lennard_jones(positions, epsilon, sigma):
    """The potential of a cluster of atoms, every pair once."""
    i, j = np.triu_indices(positions.shape[0], k=1)
    squared = np.sum((positions[i] - positions[j]) ** 2, axis=1)
    ratio = (sigma**2 / squared) ** 3
    return 4 * epsilon * np.sum(ratio**2 - ratio)
