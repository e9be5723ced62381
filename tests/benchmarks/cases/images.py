"""Images: a convolution with bias, and max pooling."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

import graphc

from .case import Case, random


def _padded(x, width):
    """Zeros around images."""
    if not width:
        return x
    n, c, rows, columns = x.shape
    wide = np.zeros((n, c, rows + 2 * width, columns + 2 * width), x.dtype)
    wide[:, :, width : width + rows, width : width + columns] = x
    return wide


def _windows(x, kernel):
    """[n, c, kernel, kernel, i, j] of images, as a view."""
    n, c, rows, columns = x.shape
    a, b, p, q = x.strides
    places = rows - kernel + 1, columns - kernel + 1
    return as_strided(x, (n, c, kernel, kernel, *places), (a, b, p, q, p, q))


def convolution(batch: int, channels: int, side: int, kernels: int, kernel: int) -> Case:
    """As many places as positions, bias, a weighted sum of squares, f32. (With relu the gradient
    would jump where two libraries round to the two sides of 0.)"""
    margin = kernel // 2

    def model(x, W, b, c):
        y = graphc.conv2d(x, W, padding=margin) + b[:, None, None]
        return (y * y * c).sum()

    def convolved(x, matrix):
        """One product an image, with columns that stay in the cache."""
        windows = _windows(_padded(x, margin), kernel)
        columns = np.empty(windows.shape[1:], np.float32)
        y = np.empty((batch, len(matrix), side, side), np.float32)
        flat = columns.reshape(-1, side * side)
        for image in range(batch):
            np.copyto(columns, windows[image])
            np.matmul(matrix, flat, out=y[image].reshape(len(matrix), -1))
        return y

    def hand(x, W, b, c):
        y = convolved(x, W.reshape(kernels, -1))
        y += b[:, None, None]
        d = y * c
        value = np.vdot(d, y)
        d *= 2.0
        windows = _windows(_padded(x, margin), kernel)
        columns = np.empty(windows.shape[1:], np.float32)
        flat = columns.reshape(-1, side * side)
        d_W = np.zeros((len(flat), kernels), np.float32)
        for image in range(batch):
            np.copyto(columns, windows[image])
            d_W += flat @ d[image].reshape(kernels, -1).T
        flipped = np.ascontiguousarray(W[:, :, ::-1, ::-1].swapaxes(0, 1))
        d_x = convolved(d, flipped.reshape(channels, -1))
        return value, (d_x, d_W.T.reshape(W.shape), d.sum(axis=(0, 2, 3)))

    def jax(x, W, b, c):
        import jax

        y = jax.lax.conv(x, W, (1, 1), "SAME") + b[:, None, None]
        return (y * y * c).sum()

    def torch(x, W, b, c):
        import torch

        y = torch.nn.functional.conv2d(x, W, b, padding=margin)
        return (y * y * c).sum()

    scale = (channels * kernel * kernel) ** -0.5
    arguments = {
        "x": random(batch, channels, side, side, seed=1, dtype="f32"),
        "W": random(kernels, channels, kernel, kernel, seed=2, dtype="f32", scale=scale),
        "b": random(kernels, seed=3, dtype="f32", scale=0.1),
        "c": random(batch, kernels, side, side, seed=4, dtype="f32"),
    }
    return Case(model, hand, ("x", "W", "b"), arguments, {"jax": jax, "torch": torch}, 1e-4)


def pooling(batch: int, channels: int, side: int, size: int, stride: int) -> Case:
    """The maximum of windows, weighted and summed, f32. Ties split evenly where the others pick
    one: numbers are drawn so that there are none."""
    places = (side - size) // stride + 1

    def model(x, c):
        return (graphc.max_pool(x, size, stride=stride) * c).sum()

    def parts(x):
        reach = stride * (places - 1) + 1
        for row in range(size):
            for column in range(size):
                yield x[:, :, row : row + reach : stride, column : column + reach : stride]

    def hand(x, c):
        y = np.full((batch, channels, places, places), -np.inf, np.float32)
        for part in parts(x):
            np.maximum(y, part, out=y)
        value = np.vdot(y, c)
        count = np.zeros(y.shape, np.int8)
        for part in parts(x):
            count += part == y
        d = c / count
        d_x = np.zeros_like(x)
        for part, into in zip(parts(x), parts(d_x), strict=True):
            into += d * (part == y)
        return value, (d_x,)

    def jax(x, c):
        import jax

        window, steps = (1, 1, size, size), (1, 1, stride, stride)
        y = jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, steps, "VALID")
        return (y * c).sum()

    def torch(x, c):
        import torch

        return (torch.nn.functional.max_pool2d(x, size, stride) * c).sum()

    count = batch * channels * side * side
    order = np.random.default_rng(5).permutation(count)
    arguments = {
        "x": (order / count).astype(np.float32).reshape(batch, channels, side, side),
        "c": random(batch, channels, places, places, seed=6, dtype="f32"),
    }
    return Case(model, hand, ("x",), arguments, {"jax": jax, "torch": torch}, 1e-4)
