"""Simulates packs, trains, exports and evaluates: everything in this folder that is made is made by

    python train.py --telltale ../../target/debug/telltale --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the order of sums, and with it the weights, must not depend on cores

import json
import tomllib
from pathlib import Path

import numpy as np

import evaluate
import packs
import card
import export
import golden
import health
import program
import resistance

HERE = Path(__file__).parent
FOLDS = 5
TEMPERATURE = -2  # the feature before the last


def main():
    options = program.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    training, test = packs.make(options.telltale, options.work, recipe)
    every = recipe["fit"]["every"]
    training = [p for p in training if len(p.x) and p.x[0, TEMPERATURE] >= recipe["packs"]["least_c"]]
    some = [packs.data.Cell(p.name, p.x[::every], p.y[::every], p.resistance[::every], []) for p in training]
    groups = [gather(some[n::FOLDS], n) for n in range(FOLDS)]
    candidate = recipe["fit"]["candidates"][0]
    widths = health.half_widths(groups, recipe, candidate)
    model = health.fit(groups, recipe, candidate)
    export.keep(options.work / "weights.npz", model, widths, groups, recipe["fit"]["copies"])
    export.write(HERE, options.work / "weights.npz", recipe)
    golden.write(HERE, recipe)
    figures = evaluate.figures(options, test, recipe)
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    card.write(HERE / "CARD.md", resistance=resistance.table(figures["resistance"]))
    print(json.dumps(figures))


def gather(cells, number):
    """Packs as one group: a fold leaves whole packs out."""
    join = lambda of: np.concatenate([of(c) for c in cells])
    return packs.data.Cell(f"fold-{number}", join(lambda c: c.x), join(lambda c: c.y), join(lambda c: c.resistance), [])


if __name__ == "__main__":
    main()
