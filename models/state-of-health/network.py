"""The network and the linear baseline beside it. numpy alone: small nets of several seeds by Adam, then made one."""

import numpy as np


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
    sizes = [x.shape[1], *hidden, 1]
    params = []
    for a, b in zip(sizes, sizes[1:]):
        params += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    params[-2] *= 0.3
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    x, y, weight = x.astype(np.float32), y.astype(np.float32), weight.astype(np.float32)
    steps, step = epochs * (len(x) // batch), 0
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for at in range(0, len(x) - batch + 1, batch):
            rows = order[at : at + batch]
            gradients = backward(params, x[rows], y[rows], weight[rows], weight_decay)
            step += 1
            rate = learning_rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            for p, g, m, v in zip(params, gradients, first, second):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= (rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)).astype(np.float32)
    return params


def backward(params, x, y, weight, weight_decay):
    """Gradients of half the weighted squared error."""
    activations = [x]
    for n in range(0, len(params), 2):
        z = activations[-1] @ params[n] + params[n + 1]
        activations.append(z if n == len(params) - 2 else np.maximum(z, 0))
    delta = ((activations[-1][:, 0] - y) * weight / len(y)).astype(np.float32)[:, None]
    gradients = [None] * len(params)
    for n in range(len(params) - 2, -1, -2):
        gradients[n] = activations[n // 2].T @ delta + weight_decay * params[n]
        gradients[n + 1] = delta.sum(0)
        delta = (delta @ params[n].T) * (activations[n // 2] > 0)
    return gradients


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
    a = x.astype(np.float32)
    for n in range(0, len(params), 2):
        a = a @ params[n] + params[n + 1]
        if n < len(params) - 2:
            a = np.maximum(a, 0)
    return a[:, 0]


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
