"""The network and the linear baseline beside it. numpy alone: small nets of several seeds by Adam, then made one."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
import adam  # noqa: E402


class Normaliser:
    """Mean and deviation of training rows; x [..., features] to standard deviations, held to `clip`."""

    def __init__(self, x, clip):
        self.mean, self.deviation, self.clip = x.mean(0), x.std(0), clip
        self.deviation = np.where(self.deviation < 1e-6, 1.0, self.deviation)

    def __call__(self, x):
        return np.clip((x - self.mean) / self.deviation, -self.clip, self.clip).astype(np.float32)


def fit(x, y, weight, hidden, weight_decay, epochs, batch, learning_rate, seed):
    """A ReLU network by Adam on squared loss; x [rows, features], y and weight [rows]. -> [w0, b0, w1, ...]"""
    rng = np.random.default_rng(seed)
    params = adam.initial(rng, [x.shape[1], *hidden, 1])
    params[-2] *= 0.3
    x, y, weight = x.astype(np.float32), y.astype(np.float32), weight.astype(np.float32)

    def gradients(rows):
        slope = lambda output: (output - y[rows]) * weight[rows] / len(rows)
        return adam.backward(params, x[rows], slope, weight_decay)

    adam.descend(params, gradients, len(x), rng, epochs, batch, learning_rate)
    return params


def ensemble(x, y, weight, seeds, **settings):
    """Networks of several seeds as one: their layers side by side, whose outputs the last layer averages."""
    return merge([fit(x, y, weight, seed=seed, **settings) for seed in range(seeds)], 1 / seeds)


def merge(members, share):
    """Networks of one shape -> one network that gives the sum of their outputs, times `share`."""
    merged, last = [], len(members[0]) - 2
    for n in range(0, len(members[0]), 2):
        weights, biases = [m[n] for m in members], [m[n + 1] for m in members]
        if n == last:
            merged += [np.concatenate(weights, 0) * np.float32(share), np.sum(biases, 0) * np.float32(share)]
        elif n == 0:
            merged += [np.concatenate(weights, 1), np.concatenate(biases)]
        else:
            merged += [blocks(weights), np.concatenate(biases)]
    return merged


def blocks(matrices):
    """Matrices along a diagonal, zeros beside them."""
    out = np.zeros(np.sum([m.shape for m in matrices], 0), np.float32)
    row, column = 0, 0
    for m in matrices:
        out[row : row + m.shape[0], column : column + m.shape[1]] = m
        row, column = row + m.shape[0], column + m.shape[1]
    return out


def output(params, x):
    """x [rows, features] -> [rows], in standard deviations of the target"""
    return adam.forward(params, x)


def linear(x, y, weight, ridge=10.0):
    """Weighted ridge regression. -> [w [features, 1], b [1]], which `output` takes"""
    w = weight / weight.sum()
    mean, level = w @ x, w @ y
    centred = x - mean
    gram = (centred * w[:, None]).T @ centred + ridge / len(x) * np.eye(x.shape[1])
    slope = np.linalg.solve(gram, (centred * w[:, None]).T @ (y - level))
    return [slope[:, None].astype(np.float32), np.array([level - mean @ slope], np.float32)]


def parameters(params):
    """How many numbers a network has, zeros beside the blocks of an ensemble left out."""
    return int(sum(np.count_nonzero(p) for p in params))
