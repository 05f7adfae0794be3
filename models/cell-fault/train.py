"""Trains, calibrates, exports and evaluates the model: everything in this folder that is made is made by

    python train.py --telltale ../../target/debug/telltale --data DIR --work DIR

DATA holds the folder of recordings (CARD.md says where they come from); WORK takes about 300 MB of logs and tables,
and the f32 weights.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the order of sums, and with it the weights, must not depend on cores

import hashlib
import time
import tomllib
from pathlib import Path

import numpy as np

import data
import evaluate
import faults
import golden
import int8
import network
import platt
import program
import reference

HERE = Path(__file__).parent


def main():
    options = program.arguments(__doc__, evaluate.RECORDINGS)
    options.work.mkdir(parents=True, exist_ok=True)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    started = time.monotonic()

    cars = data.cars(options.data, recipe)
    windows = {name: data.features(options.telltale, car, options.work, name) for name, car in cars.items()}
    x, y = dataset(options, recipe, cars, windows)
    say(started, f"{len(x)} rows, {int(y.sum())} of them faults")

    shared = {k: v for k, v in recipe["fit"].items() if k not in ("hidden", "baseline_learning_rate")}
    params = network.fit(x, y, recipe["fit"]["hidden"], **shared)
    linear = network.fit(x, y, [], **shared | {"learning_rate": recipe["fit"]["baseline_learning_rate"]})
    np.savez(options.work / "weights.npz", *params, features=x)
    layers = int8.quantise(params, x, recipe["quantize"])
    file = HERE / f"{recipe['name']}.int8.onnx"
    int8.save(layers, file, recipe["name"])
    say(started, f"{file.name}: {file.stat().st_size} bytes, {hashlib.sha256(file.read_bytes()).hexdigest()}")

    models = {
        "int8": lambda v: evaluate.int8(layers, v, recipe["quantize"]),
        "f32": lambda v: network.logit(params, v),
        "linear": lambda v: network.logit(linear, v),
    }
    bounds = reference.regime(recipe, reference.inputs(recipe, cars, windows))
    for table in windows.values():
        reference.mask(table, bounds)
    slope, intercept = evaluate.write(recipe, cars, windows, models)
    scores = {name: platt.sigmoid(slope * models["int8"](table.x) + intercept) for name, table in windows.items()}
    drift = reference.drift(recipe, reference.inputs(recipe, cars, windows, scores))
    (HERE / "model.toml").write_text(manifest(recipe, slope, intercept, bounds) + drift)
    golden.write(HERE, file, layers, recipe["quantize"])
    say(started, "done")


def dataset(options, recipe, cars, windows):
    """Healthy cells as recorded, and the faulted copies. -> features [n, 8], label [n]"""
    rng = np.random.default_rng(recipe["inject"]["seed"])
    parts = []
    for name, car in cars.items():
        keep = data.training(car, windows[name])
        seen = windows[name].present[:, car.healthy] & keep[:, None]
        x = windows[name].x[:, car.healthy][seen]
        parts.append((x, np.zeros(len(x))))
        for n, imbalance in enumerate(recipe["inject"]["imbalance"]):
            copy = faults.lay(car, recipe["inject"], imbalance, rng)
            table = data.features(options.telltale, car, options.work, f"{name}-{n}", copy.volts)
            parts.append(faults.rows(car, copy, table, data.training(car, table)))
    return (np.concatenate(part).astype(np.float32) for part in zip(*parts))


def manifest(recipe, slope, intercept, bounds):
    """model.toml, which the agent reads."""
    digest = hashlib.sha256((HERE / "features.toml").read_bytes()).hexdigest()
    decision = ", ".join(f"{k} = {v}" for k, v in recipe["decision"].items())
    quantize = recipe["quantize"]
    regime = ", ".join(f'{{ feature = "{b["feature"]}", low = {b["low"]:.4f}, high = {b["high"]:.4f} }}' for b in bounds)
    return f"""\
# Written by train.py: what the agent needs to run the model and to read its numbers. See CARD.md.
schema = 1
name = "{recipe["name"]}"
version = "{recipe["version"]}"
onnx = "{recipe["name"]}.int8.onnx"
features = "features.toml"
features_digest = "{digest}"
input = {{ scale = {np.float32(quantize["input_limit"] / 127)}, zero_point = 0 }}
output = {{ channel = 0, scale = {np.float32(quantize["output_limit"] / 127)}, zero_point = 0 }}
calibration = {{ slope = {slope:.6f}, intercept = {intercept:.6f} }}
decision = {{ {decision} }}
regime = [{regime}]
"""


def say(started, text):
    print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
