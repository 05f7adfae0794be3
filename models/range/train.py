"""Simulates days, fits and evaluates: range.toml and figures.json are made by

    python train.py --telltale ../../target/debug/telltale --work DIR
"""

import json
import tomllib
from pathlib import Path

import consumption
import data
import evaluate
import interval

HERE = Path(__file__).parent
ROADS = ("urban", "suburban", "rural", "motorway")

DOCUMENT = """\
# Written by train.py: what a kilometre takes, and how sure that is. See CARD.md; `range` in the agent's configuration.
schema = 2
usable_kwh = {usable_kwh}        # between empty and full
empty_percent = {empty_percent}      # the state of charge at which the vehicle stops

# Wh/km: constant + per_hour / v + speed * v + speed_square * v^2 + stops * s + cold / v * max(0, mild_from - T)
# + hot / v * max(0, T - mild_to), with v in km/h (stops included), s in stops per kilometre, T in degrees Celsius.
[consumption]
{consumption}
mild_from = {mild_from}
mild_to = {mild_to}

# The interval is as wide as the latest trips were off, at most `window` of them; `errors` stand beside them like
# `prior_trips` trips more, and by `step` the share outside is held to what is meant.
[interval]
coverage = {coverage}
window = {window}
prior_trips = {prior_trips}
step = {step}
errors = {errors}

# What is ahead where neither trips nor anybody says.
[typical]
kmh = {kmh:.1f}
stops_per_km = {stops:.2f}
ambient_c = 15.0

# How a road is driven that the fleet says is ahead.
[roads]
{roads}
"""


def main():
    options = evaluate.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    settings = recipe["vehicle"]
    training, test = data.vehicles(options.telltale, options.work, recipe)
    typical = {
        "kmh": sum(t.km.sum() for t in training) / sum((t.km / t.kmh).sum() for t in training),
        "stops_per_km": sum((t.stops * t.km).sum() for t in training) / sum(t.km.sum() for t in training),
    }
    chosen, tuned = interval.choose(training, settings, typical, recipe["interval"])
    shares = [data.roads_of(recipe["drives"], number) for number in range(len(training))]
    write(consumption.fit(training, settings), chosen, typical, consumption.roads(training, shares), recipe)
    result = evaluate.every(options, recipe, training, test) | {"tuning": tuned}
    (HERE / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def write(weights, chosen, typical, roads, recipe):
    lines = "\n".join(f"{name} = {float(weight):.6g}" for name, weight in zip(consumption.NAMES, weights))
    driven = "\n".join(f"{name} = {{ kmh = {kmh:.1f}, stops_per_km = {stops:.2f} }}" for name, (kmh, stops) in zip(ROADS, roads))
    numbers = {k: recipe["vehicle"][k] for k in ("usable_kwh", "empty_percent", "mild_from", "mild_to")}
    text = DOCUMENT.format(
        consumption=lines, roads=driven, kmh=typical["kmh"], stops=typical["stops_per_km"], **numbers, **chosen
    )
    (HERE / "range.toml").write_text(text)


if __name__ == "__main__":
    main()
