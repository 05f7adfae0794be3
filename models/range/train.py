"""Simulates days, fits and evaluates: range.toml and figures.json are made by

    python train.py --telltale ../../target/debug/telltale --work DIR
"""

import json
import tomllib
from pathlib import Path

import numpy as np

import consumption
import data
import evaluate

HERE = Path(__file__).parent

DOCUMENT = """\
# Written by train.py: what a kilometre takes, and how sure that is. See CARD.md; `range` in the agent's configuration.
schema = 1
usable_kwh = {usable_kwh}        # between empty and full
empty_percent = {empty_percent}      # the state of charge at which the vehicle stops

# Wh/km: constant + per_hour / v + speed * v + speed_square * v^2 + stops * s + cold / v * max(0, mild_from - T)
# + hot / v * max(0, T - mild_to), with v in km/h (stops included), s in stops per kilometre, T in degrees Celsius.
[consumption]
{consumption}
mild_from = {mild_from}
mild_to = {mild_to}

# Half the interval's width as a share of the value, by how many trips are known; the last one counts for more.
[interval]
coverage = {coverage}
half_width = {half_width}

# What is ahead where neither trips nor anybody says.
[typical]
kmh = {kmh:.1f}
stops_per_km = {stops:.2f}
ambient_c = 15.0
"""


def main():
    options = evaluate.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    settings, interval = recipe["vehicle"], recipe["interval"]
    training, test = data.vehicles(options.telltale, options.work, recipe)
    typical = {
        "kmh": sum(t.km.sum() for t in training) / sum((t.km / t.kmh).sum() for t in training),
        "stops_per_km": sum((t.stops * t.km).sum() for t in training) / sum(t.km.sum() for t in training),
    }
    weights = consumption.fit(training, settings)
    write(weights, half_widths(training, settings, interval, typical), typical, recipe)
    result = evaluate.figures(test, recipe) | evaluate.real(options, recipe)
    (HERE / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def half_widths(vehicles, settings, interval, typical):
    """Quantiles of the relative error on vehicles that each fold leaves out, by how many trips were known."""
    by_known = [[] for _ in range(interval["known"] + 1)]
    for fold in range(interval["folds"]):
        weights = consumption.fit([v for n, v in enumerate(vehicles) if n % interval["folds"] != fold], settings)
        for trips in vehicles[fold :: interval["folds"]]:
            said, known = consumption.foretold(weights, trips, settings, typical)
            for error, count in zip(np.abs(trips.wh / trips.km / said - 1), known):
                by_known[min(count, interval["known"])].append(error)
    return [round(float(np.quantile(errors, interval["coverage"])), 3) for errors in by_known]


def write(weights, half_width, typical, recipe):
    lines = "\n".join(f"{name} = {float(weight):.6g}" for name, weight in zip(consumption.NAMES, weights))
    numbers = {k: recipe["vehicle"][k] for k in ("usable_kwh", "empty_percent", "mild_from", "mild_to")}
    text = DOCUMENT.format(
        consumption=lines, coverage=recipe["interval"]["coverage"], half_width=half_width, kmh=typical["kmh"], stops=typical["stops_per_km"], **numbers
    )
    (HERE / "range.toml").write_text(text)


if __name__ == "__main__":
    main()
