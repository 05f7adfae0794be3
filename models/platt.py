"""Platt scaling: from a logit to a probability that means what it says (Platt, 1999). numpy alone."""

import numpy as np


def fit(s, y, weight=1e-6, towards=0.0, rounds=50):
    """Newton's method for p = 1 / (1 + exp(-(slope * s + intercept))), the slope drawn with a weight towards a value: of
    classes that a line parts whole it would grow without end. s logits [n], y labels [n]. -> slope, intercept"""
    slope, intercept = 1.0, 0.0
    for _ in range(rounds):
        p = sigmoid(slope * s + intercept)
        g, h = p - y, p * (1 - p) + 1e-9
        gradient = np.array([(g * s).sum() + weight * (slope - towards), g.sum()])
        hessian = np.array([[(h * s * s).sum() + weight, (h * s).sum()], [(h * s).sum(), h.sum()]])
        d = np.linalg.solve(hessian, gradient)
        slope, intercept = slope - d[0], intercept - d[1]
    return slope, intercept


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))
