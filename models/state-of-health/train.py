"""Chooses, trains, exports and evaluates the model: everything in this folder that is made is made by

    python train.py --telltale ../../target/debug/telltale --data DIR --work DIR

DATA holds the folders of recordings (CARD.md says where they come from); WORK takes the features and the f32 weights.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the order of sums, and with it the weights, must not depend on cores

import json
import tomllib
from pathlib import Path


import data
import evaluate
import export
import golden
import health
import program
import report

HERE = Path(__file__).parent


def main():
    options = program.arguments(__doc__, evaluate.RECORDINGS)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    result = evaluate.everything(options, recipe)
    report.write(HERE / "evaluation", result)

    batteries = data.nasa(options.telltale, options.data, options.work, recipe)
    candidate, inner = health.choose(batteries, recipe)
    evaluate.say(f"ships: {candidate}, {inner:.4f} on cells left out")
    model = health.fit(batteries, recipe, candidate)
    widths = health.half_widths(batteries, recipe, candidate)
    export.keep(options.work / "weights.npz", model, widths, batteries, recipe["fit"]["copies"])
    export.write(HERE, options.work / "weights.npz", recipe)
    golden.write(HERE, recipe)
    if options.json:
        print(json.dumps({"candidate": candidate, "inner_rmse": inner} | {k: v for k, v in result.items() if isinstance(v, float)}))


if __name__ == "__main__":
    main()
