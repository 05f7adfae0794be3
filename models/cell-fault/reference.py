"""What training saw, as the vehicle needs it: the regime, outside of which the model is silent. It is frozen into
model.toml; the vehicle's side is agent/core/src/regime.rs."""

import tomllib
from pathlib import Path

import numpy as np

import data

HERE = Path(__file__).parent


def inputs(cars, windows):
    """Per car the training windows' values of every input: {name: {car: [windows] of arrays}}, in physical units."""
    spec = tomllib.loads((HERE / "features.toml").read_text())
    found = {}
    for car, w in windows.items():
        healthy, keep = cars[car].healthy, np.flatnonzero(data.training(cars[car], w))
        seen = w.present[:, healthy]
        for place, feature in enumerate(spec["feature"]):
            x = w.x[:, healthy, place] * feature["scale"] + feature.get("offset", 0.0)
            found.setdefault(feature["name"], {})[car] = [x[n][seen[n]] for n in keep]
    return {name: {car: [v for v in rows if len(v)] for car, rows in of.items()} for name, of in found.items()}


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
