"""Small ReLU networks by hand: initial weights, outputs, gradients and Adam, the same for every model of this folder. numpy alone;
a network is the list [w0 [in, out], b0, w1, ...]. A seed gives the same bits on one machine."""

import numpy as np


def initial(rng, sizes):
    """He's normal weights, zero biases. -> [w0, b0, w1, ...]"""
    params = []
    for a, b in zip(sizes, sizes[1:]):
        params += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    return params


def forward(params, x):
    """The last layer's first output before any activation. x [..., features] -> [...]"""
    a = x.astype(np.float32)
    for n in range(0, len(params), 2):
        a = a @ params[n] + params[n + 1]
        if n < len(params) - 2:
            a = np.maximum(a, 0)
    return a[..., 0]


def descend(params, gradients, count, rng, epochs, batch, learning_rate):
    """Changes `params` by Adam; `gradients(rows)` are those of a batch of the `count` training rows. The learning rate falls
    to 0 as half a cosine."""
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    steps, step = epochs * (count // batch), 0
    for _ in range(epochs):
        order = rng.permutation(count)
        for at in range(0, count - batch + 1, batch):
            step += 1
            rate = learning_rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            for p, g, m, v in zip(params, gradients(order[at : at + batch]), first, second):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= (rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)).astype(np.float32)


def backward(params, x, slope, weight_decay):
    """Gradients of a mean loss, of which `slope(output [rows])` is the derivative by each row's output, in f32."""
    activations = [x]
    for n in range(0, len(params), 2):
        z = activations[-1] @ params[n] + params[n + 1]
        activations.append(z if n == len(params) - 2 else np.maximum(z, 0))
    delta = slope(activations[-1][:, 0]).astype(np.float32)[:, None]
    gradients = [None] * len(params)
    for n in range(len(params) - 2, -1, -2):
        gradients[n] = activations[n // 2].T @ delta + weight_decay * params[n]
        gradients[n + 1] = delta.sum(0)
        delta = (delta @ params[n].T) * (activations[n // 2] > 0)
    return gradients
