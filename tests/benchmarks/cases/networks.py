"""Layers and nets: multilayer perceptrons, attention, embedding, normalisation, an LSTM cell."""

from __future__ import annotations

import numpy as np

import graphc

from .case import Case, everywhere, namespace, random


def mlp(batch: int, *widths: int) -> Case:
    """Fully connected layers with relu, mean cross-entropy of integer labels, f32."""
    last = len(widths) - 2
    names = tuple(f"{kind}{layer}" for layer in range(last + 1) for kind in "Wb")
    ones = np.ones(max(batch, widths[-1]), np.float32)

    def scores(x, parameters, relu):
        for layer in range(last + 1):
            x = x @ parameters[2 * layer] + parameters[2 * layer + 1]
            if layer < last:
                x = relu(x)
        return x

    def model(x, y, W0, b0, W1, b1, W2, b2):
        z = scores(x, (W0, b0, W1, b1, W2, b2), graphc.relu)
        return graphc.cross_entropy(z, y).mean()

    def hand(x, y, *parameters):
        layers = [x]
        for layer in range(last + 1):
            h = layers[-1].dot(parameters[2 * layer])
            h += parameters[2 * layer + 1]
            if layer < last:
                np.maximum(h, 0.0, out=h)
            layers.append(h)
        p = layers.pop()
        rows = np.arange(batch)
        p -= p.max(axis=1, keepdims=True)
        picked = p[rows, y]
        np.exp(p, out=p)
        total = p.dot(ones[: p.shape[1]])[:, None]
        value = (np.log(total[:, 0]) - picked).sum() / batch
        total *= batch
        p /= total
        p[rows, y] -= 1.0 / batch
        grads = []
        for layer in range(last, -1, -1):
            below = layers[layer]
            grads += [ones[:batch].dot(p), below.T.dot(p)]
            if layer:
                p = p.dot(parameters[2 * layer].T)
                p *= below > 0.0
        return value, tuple(reversed(grads))

    def jax(x, y, *parameters):
        import jax
        import jax.nn

        z = jax.nn.log_softmax(scores(x, parameters, jax.nn.relu))
        return -namespace("jax").take_along_axis(z, y[:, None], 1).mean()

    def torch(x, y, *parameters):
        import torch

        z = scores(x, parameters, torch.relu)
        return torch.nn.functional.cross_entropy(z, y)

    def autograd(x, y, *parameters):
        from autograd.scipy.special import logsumexp

        xp = namespace("autograd")
        z = scores(x, parameters, lambda u: xp.maximum(u, 0))
        return xp.mean(logsumexp(z, axis=1) - z[np.arange(batch), y])

    def pytensor(x, y, *parameters):
        xp = namespace("pytensor")
        z = scores(x, parameters, lambda u: xp.maximum(u, np.float32(0)))
        return xp.mean(xp.logsumexp(z, axis=1) - z[np.arange(batch), y])

    arguments = {
        "x": random(batch, widths[0], seed=1, dtype="f32"),
        "y": np.random.default_rng(2).integers(0, widths[-1], batch),
    }
    for layer in range(last + 1):
        rows, columns = widths[layer], widths[layer + 1]
        scale = (2.0 / rows) ** 0.5
        arguments[f"W{layer}"] = random(rows, columns, seed=layer + 3, dtype="f32", scale=scale)
        arguments[f"b{layer}"] = random(columns, seed=layer + 9, dtype="f32", scale=0.1)
    peers = {"jax": jax, "torch": torch, "autograd": autograd, "pytensor": pytensor}
    return Case(model, hand, names, arguments, peers, 1e-4)


def attention(batch: int, length: int, width: int) -> Case:
    """One head of self-attention, weighted and summed, f32."""
    scale = width**-0.5

    def model(x, Wq, Wk, Wv, c):
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        scores = q @ k.swapaxes(1, 2) * scale
        return (graphc.softmax(scores, axis=-1) @ v * c).sum()

    def hand(x, Wq, Wk, Wv, c):
        flat = x.reshape(-1, width)
        qkv = flat @ np.concatenate((Wq * np.float32(scale), Wk, Wv), axis=1)
        q, k, v = (
            qkv.reshape(batch, length, 3 * width)[..., i : i + width]
            for i in range(0, 3 * width, width)
        )
        p = k @ q.swapaxes(1, 2)  # keys x queries: the reductions run over rows
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        out = p.swapaxes(1, 2) @ v
        value = np.vdot(out, c)
        d = np.empty_like(qkv)
        d_q, d_k, d_v = (
            d.reshape(batch, length, 3 * width)[..., i : i + width]
            for i in range(0, 3 * width, width)
        )
        np.matmul(p, c, out=d_v)
        d_p = v @ c.swapaxes(1, 2)
        d_p -= np.vecdot(out, c)[:, None, :]
        d_p *= p
        np.matmul(d_p.swapaxes(1, 2), k, out=d_q)
        np.matmul(d_p, q, out=d_k)
        d_W = flat.T @ d
        d_W[:, :width] *= np.float32(scale)
        return value, tuple(np.ascontiguousarray(part) for part in np.split(d_W, 3, axis=1))

    def formula(softmax):
        def loss(x, Wq, Wk, Wv, c):
            q, k, v = x @ Wq, x @ Wk, x @ Wv
            return (softmax(q @ k.swapaxes(1, 2) * scale) @ v * c).sum()

        return loss

    def jax(*arguments):
        import jax.nn

        return formula(jax.nn.softmax)(*arguments)

    def torch(*arguments):
        return formula(lambda s: namespace("torch").softmax(s, -1))(*arguments)

    def autograd(*arguments):
        xp = namespace("autograd")

        def softmax(s):
            e = xp.exp(s - xp.max(s, axis=-1, keepdims=True))
            return e / xp.sum(e, axis=-1, keepdims=True)

        return formula(softmax)(*arguments)

    def pytensor(*arguments):
        xp = namespace("pytensor").special
        return formula(lambda s: xp.softmax(s, axis=-1))(*arguments)

    arguments = {
        "x": random(batch, length, width, seed=1, dtype="f32"),
        **{
            name: random(width, width, seed=seed, dtype="f32", scale=width**-0.5)
            for seed, name in enumerate(("Wq", "Wk", "Wv"), 2)
        },
        "c": random(batch, length, width, seed=5, dtype="f32"),
    }
    peers = {"jax": jax, "torch": torch, "autograd": autograd, "pytensor": pytensor}
    return Case(model, hand, ("Wq", "Wk", "Wv"), arguments, peers, 1e-3)


def embedding(rows: int, width: int, tokens: int) -> Case:
    """Rows of a table, weighted and summed: a gather, and a scatter-add for its gradient."""

    def model(table, index, c):
        return (table[index] * c).sum()

    def hand(table, index, c):
        value = np.vdot(table[index], c)
        order = np.argsort(index, kind="stable")
        token = index[order]
        grad = np.zeros_like(table)
        first = np.empty(tokens, bool)
        first[0] = True
        np.not_equal(token[1:], token[:-1], out=first[1:])
        grad[token[first]] = c[order[first]]
        while not first.all():  # the second occurrences, the third ...
            token, order = token[~first], order[~first]
            first = np.ones(len(token), bool)
            np.not_equal(token[1:], token[:-1], out=first[1:])
            grad[token[first]] += c[order[first]]
        return value, (grad,)

    arguments = {
        "table": random(rows, width, seed=1, dtype="f32"),
        "index": np.random.default_rng(2).integers(0, rows, tokens),
        "c": random(tokens, width, seed=3, dtype="f32"),
    }
    peers = dict.fromkeys(("jax", "torch", "autograd", "pytensor"), model)
    return Case(model, hand, ("table",), arguments, peers, 1e-3)


def normalisation(rows: int, width: int, axis: int) -> Case:
    """Layer-norm (axis 1) or batch-norm (axis 0), weighted and summed, f32."""

    def formula(sqrt):
        def loss(x, g, b, c):
            centred = x - x.mean(axis, keepdims=True)
            variance = (centred * centred).mean(axis, keepdims=True)
            return ((centred / sqrt(variance + 1e-5) * g + b) * c).sum()

        return loss

    def model(x, g, b, c):
        return formula(np.sqrt)(x, g, b, c)

    def layer(x, g, b, c):
        d_x = np.empty_like(x)
        d_g, value = np.zeros_like(g), 0.0
        mean = np.full(width, 1.0 / width, np.float32)
        ones = np.ones(64, np.float32)
        for start in range(0, rows, 64):
            tile = slice(start, start + 64)
            h, out = x[tile], d_x[tile]
            h = h - (h @ mean)[:, None]
            scale = np.vecdot(h, h)
            scale *= np.float32(1.0 / width)
            scale += np.float32(1e-5)
            np.sqrt(scale, out=scale)
            np.divide(np.float32(1.0), scale, out=scale)
            h *= scale[:, None]
            np.multiply(h, c[tile], out=out)
            d_g += ones[: len(h)] @ out
            np.multiply(c[tile], g, out=out)
            along = np.vecdot(h, out)
            along *= np.float32(1.0 / width)
            out -= (out @ mean)[:, None]
            h *= along[:, None]
            out -= h
            out *= scale[:, None]
        d_b = np.ones(rows, np.float32) @ c
        value = d_g @ g + d_b @ b
        return value, (d_x, d_g, d_b)

    def batch(x, g, b, c):
        mean = np.full(rows, 1.0 / rows, np.float32)
        h = x - mean @ x
        d = h * h
        scale = mean @ d
        scale += np.float32(1e-5)
        np.sqrt(scale, out=scale)
        np.divide(np.float32(1.0), scale, out=scale)
        h *= scale
        np.multiply(h, c, out=d)
        ones = np.ones(rows, np.float32)
        d_g, d_b = ones @ d, ones @ c
        value = d_g @ g + d_b @ b
        scale *= g
        h *= d_g * np.float32(1.0 / rows)
        np.subtract(c, h, out=d)
        d -= d_b * np.float32(1.0 / rows)
        d *= scale
        return value, (d, d_g, d_b)

    arguments = {
        "x": random(rows, width, seed=1, dtype="f32"),
        "g": random(width, seed=2, dtype="f32"),
        "b": random(width, seed=3, dtype="f32"),
        "c": random(rows, width, seed=4, dtype="f32"),
    }

    def torch(x, g, b, c):
        functional = namespace("torch").nn.functional
        if axis == 1:
            return (functional.layer_norm(x, (width,), g, b, 1e-5) * c).sum()
        return (functional.batch_norm(x, None, None, g, b, True, 0.0, 1e-5) * c).sum()

    peers = {**everywhere(lambda xp: formula(xp.sqrt)), "torch": torch}
    hand = layer if axis == 1 else batch
    return Case(model, hand, ("x", "g", "b"), arguments, peers, 1e-3)


def lstm(steps: int, batch: int, width: int) -> Case:
    """An LSTM cell over a sequence, unrolled; gates in the order i, f, o, g; f32."""

    def formula(sigmoid, tanh, zeros):
        def loss(x, Wx, Wh, b, target):
            h = c = zeros
            for step in range(steps):
                z = x[step] @ Wx + h @ Wh + b
                i, f, o = (sigmoid(z[:, k * width : (k + 1) * width]) for k in range(3))
                c = f * c + i * tanh(z[:, 3 * width :])
                h = o * tanh(c)
            return (h * target).sum()

        return loss

    def model(x, Wx, Wh, b, target):
        zeros = np.zeros((batch, width), np.float32)
        return formula(graphc.sigmoid, np.tanh, zeros)(x, Wx, Wh, b, target)

    def hand(x, Wx, Wh, b, target):
        half = np.full(4 * width, 0.5, np.float32)
        half[3 * width :] = 1.0
        Uh = Wh * half
        inputs = x.reshape(steps * batch, -1)
        gates = inputs @ (Wx * half)
        gates += b * half
        gates = gates.reshape(steps, batch, 4 * width)
        hs = np.zeros((steps + 1, batch, width), np.float32)
        cs = np.zeros((steps + 1, batch, width), np.float32)
        tanh_c = np.empty((steps, batch, width), np.float32)
        work = np.empty((batch, 4 * width), np.float32)
        for step in range(steps):
            z = gates[step]
            np.matmul(hs[step], Uh, out=work)
            z += work
            np.tanh(z, out=z)  # sigmoid(u) = tanh(u / 2) / 2 + 1/2
            three = z[:, : 3 * width]
            three *= 0.5
            three += 0.5
            i, f, o, g = (z[:, k * width : (k + 1) * width] for k in range(4))
            np.multiply(f, cs[step], out=cs[step + 1])
            cs[step + 1] += i * g
            np.tanh(cs[step + 1], out=tanh_c[step])
            np.multiply(o, tanh_c[step], out=hs[step + 1])
        value = np.vdot(hs[-1], target)
        d_z = np.empty_like(gates)
        # What does not depend on the state, over all steps at once.
        three = gates[..., : 3 * width]
        slope = np.empty_like(gates)
        np.multiply(three, 1.0 - three, out=slope[..., : 3 * width])
        g = gates[..., 3 * width :]
        np.multiply(g, g, out=slope[..., 3 * width :])
        np.subtract(1.0, slope[..., 3 * width :], out=slope[..., 3 * width :])
        slope[..., :width] *= g
        slope[..., width : 2 * width] *= cs[:-1]
        slope[..., 2 * width : 3 * width] *= tanh_c
        slope[..., 3 * width :] *= gates[..., :width]
        through = tanh_c
        through *= tanh_c
        np.subtract(1.0, through, out=through)
        through *= gates[..., 2 * width : 3 * width]
        d_h, d_c = target, np.zeros((batch, width), np.float32)
        back = np.ascontiguousarray(Wh.T)
        for step in range(steps - 1, -1, -1):
            d_c += d_h * through[step]
            d, s = d_z[step], slope[step]
            np.multiply(
                s[:, : 2 * width].reshape(batch, 2, width),
                d_c[:, None],
                out=d[:, : 2 * width].reshape(batch, 2, width),
            )
            np.multiply(s[:, 2 * width : 3 * width], d_h, out=d[:, 2 * width : 3 * width])
            np.multiply(s[:, 3 * width :], d_c, out=d[:, 3 * width :])
            d_c *= gates[step, :, width : 2 * width]
            d_h = d @ back
        flat = d_z.reshape(steps * batch, 4 * width)
        d_Wh = hs[:-1].reshape(steps * batch, width).T @ flat
        return value, (inputs.T @ flat, d_Wh, np.ones(len(flat), np.float32) @ flat)

    def peer(name, sigmoid):
        def loss(*arguments):
            xp = namespace(name)
            zeros = xp.zeros((batch, width), dtype=xp.float32)
            return formula(lambda u: sigmoid(xp, u), xp.tanh, zeros)(*arguments)

        return loss

    def jax_sigmoid(_, u):
        import jax.nn

        return jax.nn.sigmoid(u)

    arguments = {
        "x": random(steps, batch, width, seed=1, dtype="f32"),
        "Wx": random(width, 4 * width, seed=2, dtype="f32", scale=width**-0.5),
        "Wh": random(width, 4 * width, seed=3, dtype="f32", scale=width**-0.5),
        "b": random(4 * width, seed=4, dtype="f32", scale=0.1),
        "target": random(batch, width, seed=5, dtype="f32"),
    }
    peers = {
        "jax": peer("jax", jax_sigmoid),
        "torch": peer("torch", lambda xp, u: xp.sigmoid(u)),
        "autograd": peer("autograd", lambda xp, u: 0.5 * xp.tanh(0.5 * u) + 0.5),
    }
    return Case(model, hand, ("Wx", "Wh", "b"), arguments, peers, 1e-3)
