"""The limits of the rule beside the network, from clean seconds before the test stretch.

A count that clean seconds have with a mean of m is taken to have a geometric tail, the exponential one of whole numbers:
P(sum >= k) = (m / (1 + m))^k. Its limit is the least k that clean seconds reach no more often than the recipe's false alarms an
hour, and more than any of them had; a count that never was is taken for half a one. How many seconds are summed is what finds
most of the attacks that are planted into the training stretch."""

import tomllib
from pathlib import Path

import numpy as np

FEATURES = tomllib.loads((Path(__file__).parent / "features.toml").read_text())["feature"]
# The order of the limits in model.toml. Of frames too many, those beyond intervals too long: `Rule` in agent/core says why.
COUNTS = ["close", "shape", "step", "check", "frozen", "unknown", "missing", "excess", "deficit"]
SECONDS = [1, 2, 4]


def counts(x):
    """Features back to what the rule counts. x [n, features] -> [n, counts]"""
    names = [feature["name"] for feature in FEATURES]
    of = lambda name: np.rint(2.0 ** x[:, names.index(name)] - 1)
    return np.stack([np.maximum(of("close") - of("long"), 0) if name == "close" else of(name) for name in COUNTS], 1)


def sums(x, seconds):
    """Over so many seconds in a row, the last of them this one. -> [n, counts]"""
    each = counts(x)
    return sum(np.concatenate([np.zeros((back, each.shape[1])), each[: len(each) - back]]) for back in range(seconds))


def clean_stretches(vehicle, recipe, clean):
    """Stretches of the training and tuning seconds, each by a profile that learned the others and was verified on the next.
    -> rows of each"""
    length, warm_up = recipe["rule"]["stretch_s"], recipe["split"]["warm_up"]
    starts = range(recipe["split"]["train"][0], recipe["split"]["tune"][1], length)
    parts = []
    for place, start in enumerate(starts):
        verify = starts[(place + 1) % len(starts)]
        left, right = sorted([start, verify])
        pieces = [(starts[0], left), (left + length, right), (right + length, starts[-1] + length)]
        learned = [clean.cut(a, b) for a, b in pieces if b > a]
        profile = vehicle.learn("rule", learned, [clean.cut(verify, verify + length)])
        rows = vehicle.seconds("rule", profile, clean.cut(start - warm_up, start + length + 0.1))
        parts.append(rows.cut(start, start + length).x)
    return parts


def limits(stretches, seconds, an_hour):
    """-> the limit of each count, false alarms an hour that the tail makes of it, the clean seconds"""
    clean = np.concatenate([sums(x, seconds) for x in stretches])
    mean = np.maximum(clean.sum(0), 0.5) / len(clean)
    share = mean / (1 + mean)
    limit = np.maximum(np.ceil(np.log(an_hour / 3_600) / np.log(share)), clean.max(0) + 1).astype(int)
    return limit, 3_600 * share**limit, len(clean)


def fit(stretches, planted, recipe):
    """`planted`: rows and labels of each log of training. -> seconds, limits, what it came to"""
    tried = []
    for seconds in SECONDS:
        limit, false, clean = limits(stretches, seconds, recipe["decision"]["false_alarms_an_hour"])
        hits = np.concatenate([(sums(x, seconds) >= limit).any(1)[y > 0] for x, y in planted])
        tried.append({"seconds": seconds, "limits": limit.tolist(), "false_an_hour": round(float(false.sum()), 2), "found": int(hits.sum()), "of": len(hits), "clean": clean})
    best = max(tried, key=lambda one: (one["found"], -one["seconds"]))
    return best["seconds"], best["limits"], tried
