"""What the committed model foretells of simulated vehicles that it was not fitted on, beside the last ten kilometres and
the rated value. Prints a line a figure, or with --json one object.

    python evaluate.py --telltale ../../target/debug/telltale --work DIR [--json]
"""

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np

import consumption
import data

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
    result = figures(data.vehicles(options.telltale, options.work, recipe)[1], recipe) | real(options, recipe)
    print(json.dumps(result) if options.json else "\n".join(f"{key:<24} {value}" for key, value in result.items()))


def figures(test, recipe):
    """Of the document in this folder."""
    document = tomllib.loads((HERE / "range.toml").read_text())
    weights = np.array([document["consumption"][n] for n in consumption.NAMES])
    settings, widths = document["consumption"], np.array(document["interval"]["half_width"])
    rated = recipe["vehicle"]["rated_wh_per_km"]
    errors, inside = {"model": [], "last_ten_km": [], "rated": []}, []
    for trips in test:
        truth = trips.wh / trips.km
        said, known = consumption.foretold(weights, trips, settings, document["typical"])
        for name, told in (("model", said), ("last_ten_km", consumption.last_ten_km(trips, rated)), ("rated", np.full(len(truth), rated))):
            errors[name].append(np.abs(told / truth - 1))
        half = widths[np.minimum(known, len(widths) - 1)]
        inside.append(np.abs(truth - said) <= half * said)
    each = np.array([e.mean() for e in errors["model"]])
    return {
        "vehicles": len(test), "trips": int(sum(len(t.km) for t in test)), "coverage_meant": document["interval"]["coverage"],
        "coverage": float(np.concatenate(inside).mean()), "worst_vehicle": float(each.max()),
        "mean_relative_error": {name: float(np.concatenate(e).mean()) for name, e in errors.items()},
        "after_three_trips": {name: float(np.concatenate([x[3:] for x in e]).mean()) for name, e in errors.items()},
        "first_trip": {name: float(np.mean([x[0] for x in e if len(x)])) for name, e in errors.items()},
    }


def real(options, recipe):
    """The same of a real car, where its recording is; the model was fitted on none."""
    if options.data is None or not (options.data / "ev_cell_faults").is_dir():
        return {}
    return {"real_car": figures([data.car(options.telltale, options.work, options.data)], recipe)}


if __name__ == "__main__":
    main()
