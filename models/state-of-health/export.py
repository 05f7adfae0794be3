"""From f32 weights to the files that the vehicle reads: features.toml, the int8 ONNX file and model.toml."""

import hashlib
import json
import sys
import tomllib

import numpy as np

import golden
import health
import network
import spec
from health import int8


def keep(path, model, widths, cells, copies):
    """The f32 network with everything that its int8 twin is made from."""
    x = health.rows(cells, model.charge, copies)[0]
    inputs = model.inputs(x)
    temperature, rate = health.guards(model.charge)
    seen = np.concatenate([c.x for c in cells])
    np.savez(
        path, *model.params, offset=model.offset, scale=model.scale, level=model.level, spread=model.spread,
        widths=widths, inputs=inputs, linear=model.linear[0][:, 0], linear_level=model.linear[1],
        temperature=[np.nanmin(seen[:, temperature]), np.nanmax(seen[:, temperature])],
        rate=[np.nanmin(seen[:, rate]), np.nanmax(seen[:, rate])],
    )


def layers(path, recipe):
    """-> (the layers in int8, what `keep` wrote)"""
    kept = np.load(path)
    params = [kept[f"arr_{n}"] for n in range(sum(name.startswith("arr_") for name in kept.files))]
    return int8.quantise(params, kept["inputs"], recipe["quantize"]), kept


def write(folder, weights, recipe):
    """Writes the three files into the model's folder."""
    quantised, kept = layers(weights, recipe)
    charge = recipe["charge"]
    text = spec.document(charge, kept["offset"], kept["scale"], charge["clip"])
    (folder / "features.toml").write_text(text)
    int8.save(quantised, folder / f"{recipe['name']}.int8.onnx", recipe["name"])
    (folder / "model.toml").write_text(manifest(recipe, kept, hashlib.sha256(text.encode()).hexdigest()))


def again(folder, work):
    """Writes a model's files anew from the f32 weights of its last training, and prints what int8 costs."""
    recipe = tomllib.loads((folder / "recipe.toml").read_text())
    weights = work / "weights.npz"
    if not weights.exists():
        sys.exit(f"{weights} is not there: the f32 weights are made by `cargo xtask models train {recipe['name']}`")
    write(folder, weights, recipe)
    golden.write(folder, recipe)
    print(json.dumps(cost(folder, weights, recipe)))


def manifest(recipe, kept, digest):
    """model.toml, which the agent reads."""
    quantize = recipe["quantize"]
    widths = ", ".join(f"{w:.4f}" for w in kept["widths"])
    bounds = "\n".join(f'    {{ feature = "{name}", low = {low}, high = {high} }},' for name, low, high in regime(recipe, kept))
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

# The output is a number of deviations from the training cells' mean. The interval holds the truth in so many of a
# hundred charges of cells that training left out; it widens with each amount of charge that is missing.
[estimate]
quantity = "state-of-health"
offset = {float(kept["level"]):.6f}
scale = {float(kept["spread"]):.6f}
coverage = {recipe["interval"]["coverage"]}
half_width = [{widths}]
# Where it may speak, in physical units: beyond what it was trained on it says so, and gives no number.
bounds = [
{bounds}
]
"""


def regime(recipe, kept):
    """Feature, lowest and highest value of charges like those of the training."""
    charge = recipe["charge"]
    names = [name for name, _ in spec.features(charge)]
    count = spec.amounts(charge)
    needed = [(names[count + n], 1.0, 1.0) for n in range(count - 1 - charge["needed"], count - 1)]
    low, high = kept["temperature"]
    slow, fast = kept["rate"]
    return [*needed, ("temperature", round(float(low) - 2, 1), round(float(high) + 2, 1)), ("rate", round(slow * 0.9, 3), round(fast * 1.1, 3))]


def cost(folder, weights, recipe):
    """How far int8 lies from f32, in units of the estimate, on the training rows."""
    quantised, kept = layers(weights, recipe)
    params = [kept[f"arr_{n}"] for n in range(sum(name.startswith("arr_") for name in kept.files))]
    q = int8.integers(quantised, int8.quantise_input(kept["inputs"], recipe["quantize"]["input_limit"] / 127))
    step = np.float32(recipe["quantize"]["output_limit"] / 127)
    error = (q[:, 0] * step - network.output(params, kept["inputs"])) * kept["spread"]
    file = folder / f"{recipe['name']}.int8.onnx"
    return {
        "rows": len(error), "rmse_int8_to_f32": float(np.sqrt((error**2).mean())), "largest": float(np.abs(error).max()),
        "bytes": file.stat().st_size, "parameters_stored": int(sum(layer["w"].size + layer["b"].size for layer in quantised)),
        "parameters_not_zero": network.parameters(params),
    }
