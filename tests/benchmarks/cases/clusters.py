"""Clusters: the k-means cost and the Gaussian mixture of ADBench."""

from __future__ import annotations

import numpy as np

import graphc

from .case import Case, namespace, random

ROWS = 500  # of k-means distances in a tile
SAMPLES = 250  # of a mixture in a tile


def kmeans(k: int, n: int, d: int) -> Case:
    """Sum over the points of the squared distance to the nearest centre."""

    def loss(x, centres, least):
        distances = (x * x).sum(1)[:, None] - 2.0 * (x @ centres.T) + (centres * centres).sum(1)
        return least(distances).sum()

    def model(x, centres):
        return loss(x, centres, lambda distances: distances.min(axis=1))

    def hand(x, centres):
        k, d = centres.shape
        weights = np.empty((d + 1, k))
        np.multiply(centres.T, -2.0, out=weights[:-1])
        np.vecdot(centres, centres, out=weights[-1])
        extended = np.empty((len(x), d + 1))
        extended[:, :-1] = x
        extended[:, -1] = 1.0
        nearest = np.empty(len(x), np.intp)
        scores = np.empty((ROWS, k))
        for start in range(0, len(x), ROWS):
            tile = extended[start : start + ROWS]
            part = np.matmul(tile, weights, out=scores[: len(tile)])
            part.argmin(axis=1, out=nearest[start : start + ROWS])
        residual = centres.take(nearest, axis=0)
        residual -= x
        value = np.vdot(residual, residual)
        residual += residual
        grad = np.empty_like(centres)
        for column in range(d):
            grad[:, column] = np.bincount(nearest, residual[:, column], k)
        return value, (grad,)

    def torch(x, centres):
        return loss(x, centres, lambda distances: distances.amin(1))

    def other(x, centres):
        return loss(x, centres, lambda distances: distances.min(axis=1))

    def autograd(x, centres):
        return loss(x, centres, lambda distances: namespace("autograd").min(distances, axis=1))

    arguments = {"x": random(n, d, seed=1), "centres": random(k, d, seed=2)}
    peers = {"jax": other, "torch": torch, "autograd": autograd, "pytensor": other}
    return Case(model, hand, ("centres",), arguments, peers, 1e-8)


def mixture(d: int, k: int, n: int) -> Case:
    """The log-likelihood of a Gaussian mixture with a Wishart prior.

    Each inverse covariance factor has its logarithmic diagonal in q and the rest in `lower`, whose
    strict lower triangle counts.
    """
    mask = np.tril(np.ones((d, d)), -1)
    eye = np.eye(d)

    def formula(exp, einsum, logsumexp, mask, eye):
        def loss(x, alphas, means, q, lower):
            factors = lower * mask + exp(q)[:, :, None] * eye
            shift = einsum("kij,kj->ki", factors, means)
            y = einsum("kij,nj->kin", factors, x) - shift[:, :, None]
            scores = (alphas + q.sum(1))[:, None] - 0.5 * (y * y).sum(1)
            prior = 0.5 * (factors * factors).sum() - q.sum()
            return logsumexp(scores).sum() - n * logsumexp(alphas) + prior

        return loss

    def model(x, alphas, means, q, lower):
        def logsumexp(a):
            return graphc.logsumexp(a, axis=0)

        return formula(np.exp, np.einsum, logsumexp, mask, eye)(x, alphas, means, q, lower)

    def hand(x, alphas, means, q, lower):
        factors = lower * mask
        diagonal = np.exp(q)
        factors.reshape(k, -1)[:, :: d + 1] = diagonal
        # [Q, -Q m] @ [x, 1] is Q (x - m); its adjoint gives the sums over samples, too.
        wide = np.empty((k, d, d + 1))
        wide[..., :d] = factors
        np.matmul(factors, means[:, :, None], out=wide[..., d:])
        np.negative(wide[..., d], out=wide[..., d])
        flat = wide.reshape(k * d, d + 1)
        extended = np.empty((n, d + 1))
        extended[:, :d] = x
        extended[:, d] = 1.0
        base = (alphas + q.sum(1))[:, None]
        value = 0.5 * np.vdot(factors, factors) - q.sum()
        d_flat = np.zeros((k * d, d + 1))
        weights = np.zeros(k)
        size = min(SAMPLES, n)
        scratch = np.empty((k * d, size))
        for start in range(0, n, size):
            tile = extended[start : start + size]
            count = len(tile)
            y = np.matmul(flat, tile.T, out=scratch[:, :count]).reshape(k, d, count)
            p = np.einsum("kin,kin->kn", y, y)
            p *= -0.5
            p += base
            peak = p.max(axis=0)
            p -= peak
            np.exp(p, out=p)
            total = p.sum(axis=0)
            value += (np.log(total) + peak).sum()
            p /= total
            weights += p.sum(axis=1)
            y *= p[:, None, :]
            d_flat -= y.reshape(k * d, count) @ tile
        e = np.exp(alphas - alphas.max())
        value -= n * (np.log(e.sum()) + alphas.max())
        d_alphas = weights - n / e.sum() * e
        d_wide = d_flat.reshape(k, d, d + 1)
        d_shift = -d_wide[..., d]
        d_factors = d_wide[..., :d] + d_shift[:, :, None] * means[:, None, :]
        d_means = np.matmul(d_shift[:, None, :], factors)[:, 0, :]
        d_factors += factors
        d_q = np.diagonal(d_factors, axis1=1, axis2=2) * diagonal
        d_q += weights[:, None]
        d_q -= 1.0
        d_factors *= mask
        return value, (d_alphas, d_means, d_q, d_factors)

    def jax(*arguments):
        from jax.scipy.special import logsumexp

        xp = namespace("jax")
        return formula(xp.exp, xp.einsum, lambda a: logsumexp(a, 0), mask, eye)(*arguments)

    def torch(*arguments):
        xp = namespace("torch")
        tensors = xp.tensor(mask), xp.tensor(eye)
        return formula(xp.exp, xp.einsum, lambda a: xp.logsumexp(a, 0), *tensors)(*arguments)

    def autograd(*arguments):
        from autograd.scipy.special import logsumexp

        xp = namespace("autograd")
        return formula(xp.exp, xp.einsum, lambda a: logsumexp(a, 0), mask, eye)(*arguments)

    arguments = {
        "x": random(n, d, seed=1),
        "alphas": random(k, seed=2),
        "means": random(k, d, seed=3),
        "q": random(k, d, seed=4, scale=0.3),
        "lower": random(k, d, d, seed=5, scale=d**-0.5),
    }
    peers = {"jax": jax, "torch": torch, "autograd": autograd}
    return Case(model, hand, ("alphas", "means", "q", "lower"), arguments, peers, 1e-8)
