"""Makes the int8 file anew from the f32 weights of the last training, and prints what int8 costs.

    python quantize.py --telltale ../../target/debug/telltale --data DIR --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import sys
import tomllib
from pathlib import Path

import numpy as np

import evaluate
import golden
import int8
import network
import program

HERE = Path(__file__).parent


def main():
    options = program.arguments(__doc__, evaluate.RECORDINGS)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    weights = options.work / "weights.npz"
    if not weights.exists():
        sys.exit(f"{weights} is not there: the f32 weights are made by `cargo xtask models train {recipe['name']}`")
    kept = np.load(weights)
    params = [kept[f"arr_{n}"] for n in range(len(kept.files) - 1)]
    layers = int8.quantise(params, kept["features"], recipe["quantize"])
    file = HERE / f"{recipe['name']}.int8.onnx"
    int8.save(layers, file, recipe["name"])
    golden.write(HERE, file, layers, recipe["quantize"])
    error = evaluate.int8(layers, kept["features"], recipe["quantize"]) - network.logit(params, kept["features"])
    print(json.dumps({
        "rows": len(error), "rmse_int8_to_f32_logit": float(np.sqrt((error**2).mean())), "bytes": file.stat().st_size,
        "parameters_stored": int(sum(layer["w"].size + layer["b"].size for layer in layers)),
    }))


if __name__ == "__main__":
    main()
