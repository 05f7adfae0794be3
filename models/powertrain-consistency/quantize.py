"""Makes the int8 file anew from the f32 weights of the last training, and prints what int8 costs.

    python quantize.py --telltale ../../target/debug/telltale --work DIR
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import sys
import tomllib
from pathlib import Path

import numpy as np

import data
import evaluate
import export
import fit
import int8
import program
import train

HERE = Path(__file__).parent


def main():
    options = program.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    document = tomllib.loads((HERE / "features.toml").read_text())
    weights = options.work / "weights.npz"
    if not weights.exists():
        sys.exit(f"{weights} is not there: the f32 weights are made by `cargo xtask models train {recipe['name']}`")
    calibration = train.gather(data.drives(options.telltale, options.work, recipe, "calibration"))
    export.write(HERE, weights, calibration, recipe, document)
    params, _, offset, scale = export.load(weights)
    file = HERE / f"{recipe['name']}.int8.onnx"
    layers = int8.load(file)
    physical = fit.physical(calibration, document)
    speaks = export.bounded(physical)
    f32 = fit.known(physical) + offset + scale * fit.output(params, train.blind(calibration))
    shipped = export.foretold(layers, calibration, physical, offset, scale, recipe["quantize"])
    rms = lambda error: float(np.sqrt((error[speaks] ** 2).mean()))
    deviation = [rms(physical[:, fit.TARGET] - foretold) for foretold in (f32, shipped)]
    print(json.dumps({
        "windows": int(speaks.sum()), "rmse_int8_to_f32_w": rms(shipped - f32), "deviation_f32_w": deviation[0],
        "deviation_int8_w": deviation[1], "relative_loss": deviation[1] / deviation[0] - 1, "bytes": file.stat().st_size,
        "parameters_stored": int(sum(layer["w"].size + layer["b"].size for layer in layers)),
    }))


if __name__ == "__main__":
    main()
