"""The losses by least squares and by a network, and how windows become verdicts. numpy alone."""

import numpy as np

import data  # noqa: F401, finds the folder of adam
import adam

RAD_PER_S = np.pi / 30
FEATURES = ["shaft_power", "shaft_power_fine", "torque_square", "torque_square_fine", "speed", "torque", "torque_range", "electric_power"]
TARGET = FEATURES.index("electric_power")
# Physical values come back from what the table holds, but not beyond its clip: the coarse channels are whole.
SHAFT, SQUARE, SPEED = (FEATURES.index(n) for n in ("shaft_power", "torque_square", "speed"))


def physical(x, document):
    """What `telltale features` wrote, [windows, features], back in physical units."""
    scale, offset = (np.array([f.get(k, 0.0) for f in document["feature"]]) for k in ("scale", "offset"))
    return x * scale + offset


def known(p):
    """The shaft's power in watts: what of the electric power needs no model. p in physical units"""
    return p[:, SHAFT] * RAD_PER_S


def lost(p):
    """What the inverter takes beyond it, in watts: motor, inverter, and what was measured at two moments."""
    return p[:, TARGET] - known(p)


def losses(p):
    """Least squares of what is lost. -> the four of condition.toml"""
    design = regressors(p)
    solution, *_ = np.linalg.lstsq(design, lost(p), rcond=None)
    return dict(zip(("constant", "torque_square", "speed", "share"), solution))


def regressors(p):
    return np.stack([np.ones(len(p)), p[:, SQUARE], p[:, SPEED] * RAD_PER_S, np.abs(known(p))], 1)


def linear(p, found):
    """Electric power in watts as the losses foretell it."""
    weights = [found[k] for k in ("constant", "torque_square", "speed", "share")]
    return known(p) + regressors(p) @ weights


def network(x, y, settings):
    """A ReLU network by Adam on squared error. x [n, features] as the model takes it with the target at 0, y [n].
    -> [w0, b0, w1, ...]"""
    rng = np.random.default_rng(settings["seed"])
    params = adam.initial(rng, [x.shape[1], *settings["hidden"], 1])

    def gradients(rows):
        slope = lambda out: (out - y[rows]) / len(rows)
        return adam.backward(params, x[rows], slope, settings["weight_decay"])

    adam.descend(params, gradients, len(x), rng, *(settings[k] for k in ("epochs", "batch", "learning_rate")))
    params[0][TARGET] = 0.0
    return params


def output(params, x):
    """x [..., features] -> [...]"""
    return adam.forward(params, x)


def alarms(odd, settings):
    """The vehicle's hysteresis over windows. odd [windows] bool -> anomalous [windows] bool"""
    state, recent, quiet, held = np.zeros(len(odd), bool), [], 0, False
    for n, value in enumerate(odd):
        recent = (recent + [bool(value)])[-settings["enter_of"] :]
        quiet = 0 if value else quiet + 1
        if not held and sum(recent) >= settings["enter_windows"]:
            held, quiet = True, 0
        elif held and quiet >= settings["exit_windows"]:
            held, recent = False, []
        state[n] = held
    return state


def wilson(hits, count, z=1.645):
    """The interval that holds a share in nine of ten cases (Wilson 1927)."""
    if count == 0:
        return [0.0, 1.0]
    p, q = hits / count, z * z / count
    middle, half = (p + q / 2) / (1 + q), z * np.sqrt(p * (1 - p) / count + q / count / 4) / (1 + q)
    return [max(0.0, float(middle - half)), min(1.0, float(middle + half))]


def poisson(count, exposure, per=100.0):
    """The interval that holds a rate in nine of ten cases, per so many units of exposure (Garwood 1936, by Wilson and
    Hilferty's cube)."""
    low = count * (1 - 1 / (9 * count) - 1.645 / (3 * np.sqrt(count))) ** 3 if count else 0.0
    more = count + 1
    high = more * (1 - 1 / (9 * more) + 1.645 / (3 * np.sqrt(more))) ** 3
    return [float(low / exposure * per), float(high / exposure * per)]
