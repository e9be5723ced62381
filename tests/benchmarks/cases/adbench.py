"""The LSTM of ADBench: gates that are elementwise, one character after another."""

from __future__ import annotations

import numpy as np

import graphc

from .case import Case, namespace, random


def character_lstm(layers: int, length: int, width: int) -> Case:
    """Mean log-likelihood of each character's bits from those before, f64.

    Each layer has a weight and a bias for each of 4 x width gates: no matrix. From Srajer,
    Kukelova, Fitzgibbon, "A Benchmark of Selected Algorithmic Differentiation Tools on Some
    Problems in Computer Vision and Machine Learning", 2018 (ADBench).
    """
    d, steps = width, length - 1

    def cell(xp, sigmoid, weight, bias, hidden, cell, x):
        gates = xp.concatenate((x, hidden, x, hidden)) * weight + bias
        forget, enter, out = (sigmoid(gates[k * d : (k + 1) * d]) for k in range(3))
        cell = cell * forget + enter * xp.tanh(gates[3 * d :])
        return out * xp.tanh(cell), cell

    def predict(xp, sigmoid, main, extra, states, x):
        x = x * extra[0]
        following = []
        for k in range(layers):
            x, c = cell(xp, sigmoid, main[2 * k], main[2 * k + 1], *states[k], x)
            following.append((x, c))
        return x * extra[1] + extra[2], following

    def likelihood(xp, predicted, wanted):
        return (wanted * (predicted - xp.log(xp.exp(predicted).sum() + 2.0))).sum()

    def formula(xp, sigmoid):
        def loss(main, extra, state, sequence):
            states = [(state[2 * k], state[2 * k + 1]) for k in range(layers)]
            total = 0.0
            for t in range(steps):
                predicted, states = predict(xp, sigmoid, main, extra, states, sequence[t])
                total = total + likelihood(xp, predicted, sequence[t + 1])
            return -total / (steps * d)

        return loss

    def model(main, extra, state, sequence):
        return formula(np, graphc.sigmoid)(main, extra, state, sequence)

    def hand(main, extra, state, sequence):
        """Layer by layer: what needs no state, for all characters at once."""
        half = np.full((4, d), 0.5)  # sigmoid(u) = tanh(u / 2) / 2 + 1 / 2
        half[3] = 1.0
        x = sequence[:-1] * extra[0]
        kept = []
        for k in range(layers):
            weight = main[2 * k].reshape(4, d)
            scaled, shift = weight * half, main[2 * k + 1].reshape(4, d) * half
            gates = np.empty((4, steps, d))
            for gate in (0, 2):
                np.multiply(x, scaled[gate], out=gates[gate])
                gates[gate] += shift[gate]
                np.tanh(gates[gate], out=gates[gate])
                gates[gate] *= 0.5
                gates[gate] += 0.5
            forget, out = gates[0], gates[2]
            own_scale, own_shift = scaled[1::2].copy(), shift[1::2].copy()
            own = np.empty((steps, 2, d))
            hs, cs = np.empty((steps + 1, d)), np.empty((steps + 1, d))
            tanh_c = np.empty((steps, d))
            hs[0], cs[0] = state[2 * k], state[2 * k + 1]
            h, c, work = hs[0], cs[0], np.empty(d)
            for t in range(steps):
                both = own[t]
                np.multiply(own_scale, h, out=both)
                both += own_shift
                np.tanh(both, out=both)
                enter, change = both
                enter *= 0.5
                enter += 0.5
                c = np.multiply(c, forget[t], out=cs[t + 1])
                c += np.multiply(enter, change, out=work)
                h = np.multiply(out[t], np.tanh(c, out=tanh_c[t]), out=hs[t + 1])
            kept.append((x, weight, gates, own, hs, cs, tanh_c))
            x = hs[1:]
        predicted = x * extra[1]
        predicted += extra[2]
        p = np.exp(predicted)
        total = p.sum(1) + 2.0
        wanted = sequence[1:]
        count = wanted.sum(1)
        value = -(np.vdot(wanted, predicted) - count @ np.log(total)) / (steps * d)
        p *= (count / total)[:, None]
        p -= wanted
        p *= 1.0 / (steps * d)
        d_extra = np.empty_like(extra)
        d_extra[1], d_extra[2] = np.einsum("ti,ti->i", p, x), p.sum(0)
        d_x = p * extra[1]
        d_main = np.empty_like(main)
        for k in range(layers - 1, -1, -1):
            x, weight, gates, own, hs, cs, tanh_c = kept[k]
            forget, out = gates[0], gates[2]
            enter, change = own[:, 0], own[:, 1]
            through = np.square(tanh_c)
            np.subtract(1.0, through, out=through)
            through *= out
            slope = np.empty((steps, 2, d))  # of the gates of the state, by the cell
            np.subtract(1.0, enter, out=slope[:, 0])
            slope[:, 0] *= enter
            slope[:, 0] *= change
            np.square(change, out=slope[:, 1])
            np.subtract(1.0, slope[:, 1], out=slope[:, 1])
            slope[:, 1] *= enter
            back = slope * weight[1::2]
            back = back.sum(1)  # by h, per unit of the cell's cotangent
            d_c, d_h = np.zeros(d), np.zeros(d)
            d_cs, d_hs = np.empty((steps, d)), d_x
            work = np.empty(d)
            for t in range(steps - 1, -1, -1):
                d_h += d_hs[t]
                d_hs[t] = d_h
                d_c += np.multiply(d_h, through[t], out=work)
                d_cs[t] = d_c
                np.multiply(d_c, back[t], out=d_h)
                d_c *= forget[t]
            d_gates = np.empty((4, steps, d))
            slope *= d_cs[:, None]
            d_gates[1], d_gates[3] = slope[:, 0], slope[:, 1]
            for gate, by, factor in ((0, d_cs, cs[:-1]), (2, d_hs, tanh_c)):
                np.subtract(1.0, gates[gate], out=d_gates[gate])
                d_gates[gate] *= gates[gate]
                d_gates[gate] *= by
                d_gates[gate] *= factor
            row = d_main[2 * k].reshape(4, d)
            row[0::2] = np.einsum("gti,ti->gi", d_gates[0::2], x)
            row[1::2] = np.einsum("gti,ti->gi", d_gates[1::2], hs[:-1])
            d_main[2 * k + 1] = d_gates.sum(1).ravel()
            d_x = d_gates[0] * weight[0]
            d_x += d_gates[2] * weight[2]
        d_extra[0] = np.einsum("ti,ti->i", d_x, sequence[:-1])
        return value, (d_main, d_extra)

    def jax(main, extra, state, sequence):
        import jax

        xp = jax.numpy

        def step(states, pair):
            predicted, states = predict(xp, jax.nn.sigmoid, main, extra, states, pair[0])
            return states, likelihood(xp, predicted, pair[1])

        states = [(state[2 * k], state[2 * k + 1]) for k in range(layers)]
        _, found = jax.lax.scan(step, states, (sequence[:-1], sequence[1:]))
        return -found.sum() / (steps * d)

    def torch(*arguments):
        xp = namespace("torch")
        return formula(xp, xp.sigmoid)(*arguments)

    arguments = {
        "main": random(2 * layers, 4 * d, seed=1),
        "extra": random(3, d, seed=2),
        "state": random(2 * layers, d, seed=3),
        "sequence": (random(length, d, seed=4) > 0.0).astype(np.float64),
    }
    return Case(model, hand, ("main", "extra"), arguments, {"jax": jax, "torch": torch}, 1e-7)
