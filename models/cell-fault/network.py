"""The network, a linear baseline, and the two steps after it: Platt scaling and hysteresis. numpy alone."""

import numpy as np


def fit(x, y, hidden, epochs, batch, learning_rate, weight_decay, seed):
    """A ReLU network by Adam on logistic loss; positives weigh by the root of their rarity. -> [w0, b0, w1, ...]"""
    rng = np.random.default_rng(seed)
    sizes = [x.shape[1], *hidden, 1]
    params = []
    for a, b in zip(sizes, sizes[1:]):
        params += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    weight = np.where(y > 0, np.sqrt((y == 0).sum() / (y > 0).sum()), 1).astype(np.float32)
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
    """Gradients of the weighted logistic loss."""
    activations = [x]
    for n in range(0, len(params), 2):
        z = activations[-1] @ params[n] + params[n + 1]
        activations.append(z if n == len(params) - 2 else np.maximum(z, 0))
    p = 1 / (1 + np.exp(-activations[-1][:, 0]))
    delta = ((p - y) * weight / len(y)).astype(np.float32)[:, None]
    gradients = [None] * len(params)
    for n in range(len(params) - 2, -1, -2):
        gradients[n] = activations[n // 2].T @ delta + weight_decay * params[n]
        gradients[n + 1] = delta.sum(0)
        delta = (delta @ params[n].T) * (activations[n // 2] > 0)
    return gradients


def logit(params, x):
    """x [..., features] -> [...]"""
    a = x.astype(np.float32)
    for n in range(0, len(params), 2):
        a = a @ params[n] + params[n + 1]
        if n < len(params) - 2:
            a = np.maximum(a, 0)
    return a[..., 0]


def platt(s, y, rounds=50):
    """Newton's method for p = 1 / (1 + exp(-(slope * s + intercept))). -> slope, intercept"""
    slope, intercept = 1.0, 0.0
    for _ in range(rounds):
        p = sigmoid(slope * s + intercept)
        g, h = p - y, p * (1 - p) + 1e-9
        gradient = np.array([(g * s).sum() + 1e-6 * slope, g.sum()])
        hessian = np.array([[(h * s * s).sum() + 1e-6, (h * s).sum()], [(h * s).sum(), h.sum()]])
        d = np.linalg.solve(hessian, gradient)
        slope, intercept = slope - d[0], intercept - d[1]
    return slope, intercept


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def hysteresis(p, present, enter, enter_windows, enter_of, exit, exit_windows):
    """The vehicle's decision over windows in which a cell has a score. p, present [windows, cells] -> bool alike"""
    state = np.zeros(p.shape, bool)
    for cell in range(p.shape[1]):
        recent, below, anomalous = [], 0, False
        for n in range(len(p)):
            if present[n, cell]:
                recent = (recent + [p[n, cell] >= enter])[-enter_of:]
                below = below + 1 if p[n, cell] < exit else 0
                if not anomalous and sum(recent) >= enter_windows:
                    anomalous, below = True, 0
                elif anomalous and below >= exit_windows:
                    anomalous, recent = False, []
            state[n, cell] = anomalous
    return state


def auc(s, y):
    """The chance that a positive scores above a negative."""
    order = np.argsort(s, kind="stable")
    rank = np.empty(len(s))
    rank[order] = np.arange(1, len(s) + 1)
    ones = (y > 0).sum()
    return (rank[y > 0].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones))
