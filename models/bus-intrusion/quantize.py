"""Makes the int8 file and the threshold anew from the f32 weights of the last training, and prints what int8 costs.

    python quantize.py --telltale ../../target/debug/telltale --data DIR --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import sys
import time
import tomllib
from pathlib import Path

import numpy as np

import data
import evaluate
import int8
import network
import train

HERE = Path(__file__).parent


def main():
    options = evaluate.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    weights = options.work / "weights.npz"
    if not weights.exists():
        sys.exit(f"{weights} is not there: the f32 weights are made by `cargo xtask models train {recipe['name']}`")
    params, _, x, y = evaluate.weights(options, recipe)
    vehicle, clean = data.Vehicle(options.telltale, options.work), data.read(options.data, "clean")
    vehicle.has_rule = False
    train.export(recipe, params, x, y, vehicle, clean, time.monotonic())
    file = HERE / f"{recipe['name']}.int8.onnx"
    layers = int8.load(file)
    most = recipe["quantize"]["output_limit"]
    error = evaluate.int8(layers, x, recipe["quantize"]) - np.clip(network.logit(params, x), -most, most)
    print(json.dumps({
        "rows": len(error), "rmse_int8_to_f32_logit": float(np.sqrt((error**2).mean())), "bytes": file.stat().st_size,
        "parameters_stored": int(sum(layer["w"].size + layer["b"].size for layer in layers)),
    }))


if __name__ == "__main__":
    main()
