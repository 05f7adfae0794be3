"""Makes the int8 files anew from the f32 weights of the last training, and prints what int8 costs.

    python quantize.py --telltale ../../target/debug/telltale --data DIR --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import sys
import tomllib
from pathlib import Path

import evaluate
import export
import golden

HERE = Path(__file__).parent


def main():
    options = evaluate.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    weights = options.work / "weights.npz"
    if not weights.exists():
        sys.exit(f"{weights} is not there: the f32 weights are made by `cargo xtask models train {recipe['name']}`")
    export.write(HERE, weights, recipe)
    golden.write(HERE, recipe)
    print(json.dumps(export.cost(HERE, weights, recipe)))


if __name__ == "__main__":
    main()
