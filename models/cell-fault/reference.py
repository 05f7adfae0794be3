"""What training saw, as the vehicle needs it: the regime, outside of which the model is silent, and the bins that drift is
told by. Both are frozen into model.toml. The vehicle's side is agent/core/src/regime.rs and agent/core/src/drift."""

import tomllib
from pathlib import Path

import numpy as np

import data

HERE = Path(__file__).parent
FLOOR = 1e-3  # as in agent/core/src/drift: added to each share
ROWS = 100_000  # drawn from each vehicle, so that each counts alike


def inputs(recipe, cars, windows, scores=None):
    """Per car the training windows' values of every input: {name: {car: [windows] of arrays}}, in physical units."""
    spec = tomllib.loads((HERE / "features.toml").read_text())
    found = {}
    for car, w in windows.items():
        healthy, keep = cars[car].healthy, np.flatnonzero(data.training(cars[car], w))
        seen = w.present[:, healthy]
        for place, feature in enumerate(spec["feature"]):
            x = w.x[:, healthy, place] * feature["scale"] + feature.get("offset", 0.0)
            found.setdefault(feature["name"], {})[car] = [x[n][seen[n]] for n in keep]
        if scores:
            found.setdefault("score", {})[car] = [scores[car][:, healthy][n][seen[n]] for n in keep]
        celsius = temperatures(cars[car], w, recipe["drift"]["celsius"])
        found.setdefault("temperature", {})[car] = [celsius[n][~np.isnan(celsius[n])] for n in keep]
    return {name: {car: [v for v in rows if len(v)] for car, rows in of.items()} for name, of in found.items()}


def temperatures(car, windows, celsius):
    """The probes' latest values at the end of each window. -> [windows, probes] in degrees Celsius, NaN where absent"""
    columns = [name for name in car.table.column_names if name.startswith("T_")]
    probes = np.stack([data.column(car.table, name) for name in columns], 1) + celsius["offset"]
    probes[(probes < celsius["plausible"][0]) | (probes > celsius["plausible"][1])] = np.nan
    return probes[np.maximum(np.searchsorted(car.seconds, windows.end, "left") - 1, 0)]


def regime(recipe, found):
    """Bounds of the features that the recipe names: the range that training saw, a tenth of a millivolt rounded outward."""
    bounds = []
    for name in recipe["regime"]["features"]:
        values = np.concatenate([v for rows in found[name].values() for v in rows])
        low, high = np.floor(values.min() * 1e4) / 1e4, np.ceil(values.max() * 1e4) / 1e4
        bounds.append({"feature": name, "low": float(low), "high": float(high)})
    return bounds


def mask(windows, bounds):
    """Windows in which the model is silent count as those without a value."""
    spec = tomllib.loads((HERE / "features.toml").read_text())
    for bound in bounds:
        place = [f["name"] for f in spec["feature"]].index(bound["feature"])
        feature = spec["feature"][place]
        x = windows.x[:, :, place] * feature["scale"] + feature.get("offset", 0.0)
        windows.present &= (x >= bound["low"]) & (x <= bound["high"])
    return windows


def drift(recipe, found):
    """The text of [drift]. A limit is some times the greatest index that a stretch of a training vehicle comes to, over
    either horizon: one vehicle keeps its own place for as long as one looks, and two vehicles are few."""
    settings, rng = recipe["drift"], np.random.default_rng(1)
    scales = {f["name"]: f["scale"] for f in tomllib.loads((HERE / "features.toml").read_text())["feature"]}
    lines = ["", "[drift]", f"fast_windows = {settings['fast_windows']}", f"slow_windows = {settings['slow_windows']}"]
    for name, cars in found.items():
        pooled = np.concatenate([rng.choice(np.concatenate(rows), ROWS) for rows in cars.values()])
        tails = settings["tail"], *np.arange(0.1, 0.95, 0.1), 1 - settings["tail"]
        edges = bins(np.quantile(pooled, tails), scales.get(name, settings["steps"].get(name)))
        share = histogram(edges, pooled)
        horizons = settings["fast_windows"], settings["slow_windows"]
        limit = settings["times"] * max(furthest(rows, edges, share, n) for rows in cars.values() for n in horizons)
        lines += ["", "[[drift.input]]", source(name, settings)]
        lines += [f"edges = [{', '.join(f'{e:.7g}' for e in edges)}]", f"share = [{', '.join(f'{s:.6f}' for s in share)}]"]
        lines += [f"limits = {{ fast = {limit:.3f}, slow = {limit:.3f} }}"]
    return "\n".join(lines) + "\n"


def bins(quantiles, scale):
    """Edges on a grid of a hundredth of the scale, half a step beside the values that a coarse reading takes: what differs
    in the last bit has to fall into the same bin."""
    return np.unique(np.float32((np.round(np.asarray(quantiles) / scale, 2) - 0.005) * scale))


def source(name, settings):
    special = {"score": "score = true", "temperature": f'signal = "{settings["celsius"]["signal"]}"'}
    return special.get(name, f'feature = "{name}"')


def histogram(edges, values):
    return np.bincount(np.searchsorted(edges, np.float32(values), "right"), minlength=len(edges) + 1) / len(values)


def index(a, e):
    """The population stability index of two histograms."""
    a, e = ((share + FLOOR) / (1 + FLOOR * len(e)) for share in (a, e))
    return float(((a - e) * np.log(a / e)).sum())


def furthest(rows, edges, share, windows):
    """The greatest index over a vehicle's stretches, once the horizon is full. 0 if it never is."""
    mass, weight, most = np.zeros(len(share)), 0.0, 0.0
    for values in rows:
        mass += (histogram(edges, values) - mass) / windows
        weight += (1 - weight) / windows
        if weight >= 0.632:
            most = max(most, index(mass / weight, share))
    return most
