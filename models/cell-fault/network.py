"""The network, a linear baseline, and the hysteresis after it. numpy alone."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
import adam  # noqa: E402


def fit(x, y, hidden, epochs, batch, learning_rate, weight_decay, seed):
    """A ReLU network by Adam on logistic loss; positives weigh by the root of their rarity. -> [w0, b0, w1, ...]"""
    rng = np.random.default_rng(seed)
    params = adam.initial(rng, [x.shape[1], *hidden, 1])
    weight = np.where(y > 0, np.sqrt((y == 0).sum() / (y > 0).sum()), 1).astype(np.float32)

    def gradients(rows):
        slope = lambda output: (1 / (1 + np.exp(-output)) - y[rows]) * weight[rows] / len(rows)
        return adam.backward(params, x[rows], slope, weight_decay)

    adam.descend(params, gradients, len(x), rng, epochs, batch, learning_rate)
    return params


def logit(params, x):
    """x [..., features] -> [...]"""
    return adam.forward(params, x)


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
