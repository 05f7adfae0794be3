"""Trains, sets the threshold, exports and evaluates the model: everything in this folder that is made is made by

    python train.py --telltale ../../target/debug/telltale --data DIR --work DIR

DATA holds the folder of recordings (CARD.md says where they come from); WORK takes about 100 MB of logs and tables.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the order of sums, and with it the weights, must not depend on cores

import hashlib
import itertools
import json
import time
import tomllib
from pathlib import Path

import numpy as np

import attacks
import data
import evaluate
import golden
import int8
import network
import rule

HERE = Path(__file__).parent


def main():
    options = evaluate.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    vehicle, clean, started = data.Vehicle(options.telltale, options.work), data.read(options.data, "clean"), time.monotonic()

    vehicle.has_rule = False
    fit(vehicle, options, recipe, clean)
    params, _, x, y = evaluate.weights(options, recipe)
    say(started, f"{len(x)} rows, {int(y.sum())} of them of attacked seconds")
    export(recipe, params, x, y, vehicle, clean, started)
    vehicle.has_rule = True
    evaluate.report(vehicle, options, recipe)
    say(started, "done")


def fit(vehicle, options, recipe, clean):
    """Keeps the network, the linear model and the rows in the scratch folder."""
    logs = dataset(vehicle, recipe, clean)
    x, y = (np.concatenate(part) for part in zip(*logs))
    stretches = rule.clean_stretches(vehicle, recipe, clean)
    seconds, limits, tried = rule.fit(stretches, logs, recipe)
    (options.work / "rule.json").write_text(json.dumps({"seconds": seconds, "limits": limits, "tried": tried}))
    shared = {k: v for k, v in recipe["fit"].items() if k not in ("hidden", "baseline_learning_rate")}
    params = network.fit(x, y, recipe["fit"]["hidden"], **shared)
    linear = network.fit(x, y, [], **shared | {"learning_rate": recipe["fit"]["baseline_learning_rate"]})
    np.savez(options.work / "weights.npz", *params, *linear, features=x, labels=y)


def export(recipe, params, x, y, vehicle, clean, started):
    """The int8 file, its golden vectors and the manifest with the threshold."""
    layers = int8.quantise(params, x, recipe["quantize"])
    file = HERE / f"{recipe['name']}.int8.onnx"
    int8.save(layers, file, recipe["name"])
    say(started, f"{file.name}: {file.stat().st_size} bytes, {hashlib.sha256(file.read_bytes()).hexdigest()}")
    score = lambda v: evaluate.int8(layers, v, recipe["quantize"])
    slope, intercept = np.round(network.platt(score(x).astype(float), y), 6)
    limit, _ = evaluate.threshold(score, evaluate.tuning(vehicle, recipe, clean), recipe)
    enter = float(network.sigmoid(slope * limit + intercept))
    fitted = json.loads((vehicle.work / "rule.json").read_text())
    (HERE / "model.toml").write_text(manifest(recipe, slope, intercept, enter, fitted))
    golden.write(HERE, file, layers)


def dataset(vehicle, recipe, clean):
    """Clean and attacked seconds of the training stretch. -> of each log features [n, 16], label [n]"""
    rng = np.random.default_rng(recipe["plant"]["seed"])
    start, end = recipe["split"]["train"]
    edges = np.linspace(start, end, 4)
    thirds = [clean.cut(a, b) for a, b in itertools.pairwise(edges)]
    parts = []
    for learned, verified, scored in itertools.permutations(range(3)):
        profile = vehicle.learn("third", [thirds[learned]], [thirds[verified]])
        rows = vehicle.seconds("third", profile, thirds[scored])
        parts.append((rows.x.astype(np.float32), np.zeros(len(rows.end), np.float32)))
        for attack in attacks.ALL:
            for _ in range(recipe["plant"]["copies"] // 2):
                stretch = edges[scored] + np.array(recipe["plant"]["stretch_s"])
                traffic, hit = attack(thirds[scored], stretch, rng)
                rows = vehicle.seconds("third", profile, traffic)
                label = np.isin(np.rint(rows.end).astype(int) - 1, sorted(hit))
                parts.append((rows.x.astype(np.float32), label.astype(np.float32)))
    return parts


def manifest(recipe, slope, intercept, enter, fitted):
    """model.toml, which the agent reads."""
    digest = hashlib.sha256((HERE / "features.toml").read_bytes()).hexdigest()
    quantize, decision = recipe["quantize"], recipe["decision"]
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
decision = {{ enter = {enter:.6f}, enter_windows = 1, enter_of = 1, exit = {enter / 2:.6f}, exit_windows = {decision["exit_windows"]} }}
# From so many on, summed over the seconds: {", ".join(rule.COUNTS)} (rule.py).
rule = {{ seconds = {fitted["seconds"]}, limits = {fitted["limits"]} }}
"""


def say(started, text):
    print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
