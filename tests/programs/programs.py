"""Programs of plain NumPy that use linear algebra, as people write them."""

import numpy as np


def gp_marginal_likelihood(X, y, log_scale, log_length, log_noise):
    """Gaussian process regression, squared exponential kernel: the log evidence of y.

    C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning" (2006), algorithm
    2.1.
    """
    Z = X / np.exp(log_length)
    squares = np.sum(Z**2, axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * Z @ Z.T
    n = y.shape[0]
    K = np.exp(2 * log_scale - 0.5 * np.maximum(distances, 0)) + np.exp(2 * log_noise) * np.eye(n)
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return -0.5 * y @ alpha - np.sum(np.log(np.diag(L))) - 0.5 * n * np.log(2 * np.pi)


def kalman_step(mean, covariance, measured, F, Q, H, R):
    """One step of a Kalman filter: new mean and covariance, and the measurement's log density."""
    mean = F @ mean
    covariance = F @ covariance @ F.T + Q
    surprise = measured - H @ mean
    S = H @ covariance @ H.T + R
    gain = np.linalg.solve(S, H @ covariance).T
    mean = mean + gain @ surprise
    kept = np.eye(covariance.shape[0]) - gain @ H
    covariance = kept @ covariance @ kept.T + gain @ R @ gain.T
    _, logdet = np.linalg.slogdet(2 * np.pi * S)
    return mean, covariance, -0.5 * (logdet + surprise @ np.linalg.solve(S, surprise))


def kalman_log_likelihood(measurements, mean, covariance, F, Q, H, R):
    """The log density of a sequence of measurements."""
    total = 0.0
    for measured in measurements:
        mean, covariance, log_density = kalman_step(mean, covariance, measured, F, Q, H, R)
        total = total + log_density
    return total


def gmm_objective(alphas, means, factors, x, gamma, m):
    """The log posterior of a Gaussian mixture with a Wishart prior on the inverse covariances.

    factors are lower triangles L with inverse covariance L @ L.T; the constant of the prior, which
    no gradient sees, is left out.
    """
    d = x.shape[1]
    centred = x[:, None, :] - means
    whitened = np.einsum("kij,nki->nkj", factors, centred)
    log_dets = np.linalg.slogdet(factors).logabsdet
    inner = alphas + log_dets - 0.5 * np.sum(whitened**2, axis=2)
    largest = np.max(inner, axis=1, keepdims=True)
    log_sum = np.log(np.sum(np.exp(inner - largest), axis=1)) + largest[:, 0]
    top = np.max(alphas)
    weights = np.log(np.sum(np.exp(alphas - top))) + top
    prior = 0.5 * gamma**2 * np.sum(factors**2) - m * np.sum(log_dets)
    constant = -0.5 * d * np.log(2 * np.pi) * x.shape[0]
    return constant + np.sum(log_sum) - x.shape[0] * weights - prior


def pca_reconstruction(X, k):
    """The squared error of X behind its first k principal components."""
    centred = X - np.mean(X, axis=0)
    U, s, Vh = np.linalg.svd(centred, full_matrices=False)
    rebuilt = (U[:, :k] * s[:k]) @ Vh[:k]
    return np.sum((centred - rebuilt) ** 2)


def ridge_by_qr(X, y, log_penalty):
    """The residual of ridge regression, solved through a QR factorisation of the padded system."""
    n = X.shape[1]
    padded = np.concatenate([X, np.exp(0.5 * log_penalty) * np.eye(n)])
    Q, R = np.linalg.qr(padded)
    right = Q.T @ np.concatenate([y, np.zeros(n)])
    beta = np.linalg.solve(R, right)
    return np.sum((X @ beta - y) ** 2)
