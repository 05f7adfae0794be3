"""What the committed model foretells of simulated vehicles that it was not fitted on, beside the last ten kilometres and
the rated value; and how often its interval holds, beside one of a fixed width. Prints a line a figure, or with --json one
object.

    python evaluate.py --telltale ../../target/debug/telltale --work DIR [--json]
"""

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np

import consumption
import data
import interval

HERE = Path(__file__).parent


def arguments(what):
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--telltale", required=True, type=Path, help="the binary that simulates and finds trips")
    parser.add_argument("--data", type=Path, help="the folder of the recordings: adds a real car")
    parser.add_argument("--work", required=True, type=Path, help="scratch folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args()


def main():
    options = arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    result = every(options, recipe, *data.vehicles(options.telltale, options.work, recipe))
    print(json.dumps(result) if options.json else "\n".join(f"{key:<24} {value}" for key, value in result.items()))


def every(options, recipe, training, test):
    """The figures of the document in this folder: of the vehicles left out, and of the real car where its recording is."""
    document = tomllib.loads((HERE / "range.toml").read_text())
    fixed = fixed_widths(training, recipe, document["typical"])
    result = figures(test, document, recipe, fixed)
    if options.data is not None and (options.data / "ev_cell_faults").is_dir():
        result["real_car"] = figures([data.car(options.telltale, options.work, options.data)], document, recipe, fixed)
    return result


def fixed_widths(training, recipe, typical, known=6):
    """What a vehicle's own errors are held against: quantiles of training vehicles' errors, by how many trips were known."""
    settings, by_known = recipe["vehicle"], [[] for _ in range(known + 1)]
    for trips, weights in interval.held_out(training, settings, recipe["interval"]["folds"]):
        said, count = consumption.foretold(weights, trips, settings, typical)
        for error, n in zip(np.abs(trips.wh / trips.km / said - 1), count):
            by_known[min(n, known)].append(error)
    return np.array([np.quantile(e, recipe["interval"]["coverage"]) for e in by_known])


def figures(test, document, recipe, fixed):
    """Of these vehicles. A width is half the interval's, as a share of what is foretold."""
    weights = np.array([document["consumption"][n] for n in consumption.NAMES])
    settings, rated = document["consumption"], recipe["vehicle"]["rated_wh_per_km"]
    errors, own, before = {"model": [], "last_ten_km": [], "rated": []}, [], []
    for trips in test:
        truth = trips.wh / trips.km
        said, known = consumption.foretold(weights, trips, settings, document["typical"])
        for name, told in (("model", said), ("last_ten_km", consumption.last_ten_km(trips, rated)), ("rated", np.full(len(truth), rated))):
            errors[name].append(np.abs(told / truth - 1))
        off = interval.errors(truth, said)
        width = interval.widths(off, document["interval"])
        own.append(np.array([off <= width, interval.half(width)]))
        width = fixed[np.minimum(known, len(fixed) - 1)]
        before.append(np.array([np.abs(truth / said - 1) <= width, width]))
    each = np.array([e.mean() for e in errors["model"]])
    return {
        "vehicles": len(test), "trips": int(sum(len(t.km) for t in test)), "coverage_meant": document["interval"]["coverage"],
        "interval": held(own), "interval_first_five": held([o[:, :5] for o in own]), "interval_later": held([o[:, 5:] for o in own]),
        "fixed_width": held(before), "worst_vehicle": float(each.max()),
        "mean_relative_error": {name: float(np.concatenate(e).mean()) for name, e in errors.items()},
        "after_three_trips": {name: float(np.concatenate([x[3:] for x in e]).mean()) for name, e in errors.items()},
        "first_trip": {name: float(np.mean([x[0] for x in e if len(x)])) for name, e in errors.items()},
    }


def held(vehicles):
    """How many trips intervals hold, with the 95 % interval of that share as if trips were independent; their mean width."""
    inside, half = np.concatenate(vehicles, 1)
    return {
        "held": int(inside.sum()), "of": len(inside), "coverage": float(inside.mean()), "between": interval.wilson(inside.sum(), len(inside)),
        "mean_half_width": float(half.mean()),
    }


if __name__ == "__main__":
    main()
