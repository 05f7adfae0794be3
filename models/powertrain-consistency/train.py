"""Simulates drives, fits, exports and evaluates: everything in this folder that is made is made by

    python train.py --telltale ../../target/debug/telltale --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the order of sums, and with it the weights, must not depend on cores

import json
import tomllib
from pathlib import Path

import numpy as np

import evaluate
import data
import export
import fit
import program
import report

HERE = Path(__file__).parent


def main():
    options = program.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    document = tomllib.loads((HERE / "features.toml").read_text())
    training = gather(data.drives(options.telltale, options.work, recipe, "training"))
    physical = fit.physical(training, document)
    x = blind(training)
    y, offset, scale = normal(fit.lost(physical))
    params = fit.network(x.astype(np.float32), y.astype(np.float32), recipe["fit"])
    weights = options.work / "weights.npz"
    np.savez(weights, *params, x=x, offset=offset, scale=scale)
    calibration = gather(data.drives(options.telltale, options.work, recipe, "calibration"))
    export.write(HERE, weights, calibration, recipe, document)
    result = evaluate.figures(options, recipe)
    (HERE / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    report.write(HERE, result)
    print(json.dumps(result))


def gather(drives):
    """The whole windows of all drives."""
    x = np.concatenate([d.x for d in drives])
    return x[~np.isnan(x).any(1)]


def blind(x):
    """Without what is to be foretold."""
    x = x.copy()
    x[:, fit.TARGET] = 0.0
    return x


def normal(y):
    return (y - y.mean()) / y.std(), float(y.mean()), float(y.std())


if __name__ == "__main__":
    main()
