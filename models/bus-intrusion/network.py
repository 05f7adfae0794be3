"""The network, a linear baseline, and what turns scores into alarms: Platt scaling, a threshold from the tail of clean
scores, intervals of shares and rates."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
import adam  # noqa: E402


def fit(x, y, hidden, epochs, batch, learning_rate, weight_decay, seed):
    """A ReLU network by Adam on logistic loss; both classes weigh the same together. -> [w0, b0, w1, ...]"""
    rng = np.random.default_rng(seed)
    params = adam.initial(rng, [x.shape[1], *hidden, 1])
    weight = np.where(y > 0, len(y) / (2 * y.sum()), len(y) / (2 * (y == 0).sum())).astype(np.float32)

    def gradients(rows):
        slope = lambda z: (sigmoid(z) - y[rows]) * weight[rows] / len(rows)
        return adam.backward(params, x[rows], slope, weight_decay)

    adam.descend(params, gradients, len(x), rng, epochs, batch, learning_rate)
    return params


def logit(params, x):
    """x [..., features] -> [...]"""
    return adam.forward(params, x)


def platt(s, y, rounds=50):
    """Newton's method for p = 1 / (1 + exp(-(slope * s + intercept))), drawn towards a slope of 1. -> slope, intercept"""
    slope, intercept = 1.0, 0.0
    for _ in range(rounds):
        p = sigmoid(slope * s + intercept)
        g, h = p - y, p * (1 - p) + 1e-9
        gradient = np.array([(g * s).sum() + slope - 1, g.sum()])
        hessian = np.array([[(h * s * s).sum() + 1, (h * s).sum()], [(h * s).sum(), h.sum()]])
        d = np.linalg.solve(hessian, gradient)
        slope, intercept = slope - d[0], intercept - d[1]
    return slope, intercept


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def threshold(clean, an_hour, step):
    """The score that clean seconds pass so often an hour, by an exponential tail behind their median: with a mean excess
    b of the upper half, P(score > median + t) = exp(-t / b) / 2. `step` is the least b: a score has no finer steps.
    Never below what was seen. -> the threshold, b"""
    middle = np.median(clean)
    above = clean[clean > middle]
    scale = max((above - middle).mean() if len(above) else 0.0, step)
    return max(middle + scale * np.log(0.5 * 3_600 / an_hour), clean.max() + step), scale


def wilson(hits, of, z=1.96):
    """95 % interval of a share."""
    if of == 0:
        return 0.0, 1.0
    p, n = hits / of, of
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def most(count, of):
    """The upper end of the exact 95 % interval of a Poisson rate, for each of `of`."""
    low, high = float(count), 4.0 * count + 20
    for _ in range(100):
        rate = (low + high) / 2
        terms, term = 0.0, np.exp(-rate)
        for k in range(int(count) + 1):
            terms += term
            term *= rate / (k + 1)
        low, high = (rate, high) if terms > 0.025 else (low, rate)
    return high / of
