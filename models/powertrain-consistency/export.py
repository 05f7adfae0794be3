"""The files of this folder out of the weights of a training: the int8 network, its manifest, its golden vectors."""

import hashlib

import numpy as np
import onnxruntime

import data  # noqa: F401, finds the folder of int8
import fit
import int8

MANIFEST = """\
# Written by train.py: what the agent needs to run the model and to read its numbers. See CARD.md.
schema = 1
name = "{name}"
version = "{version}"
onnx = "{name}.int8.onnx"
features = "features.toml"
features_digest = "{digest}"
input = {{ scale = {input}, zero_point = 0 }}
output = {{ channel = 0, scale = {output}, zero_point = 0 }}
# The score is 0.5 where measured and foretold power lie {threshold:.2f} deviations apart.
calibration = {{ slope = 2.0, intercept = {intercept:.4f} }}
decision = {{ enter = 0.5, enter_windows = {enter_windows}, enter_of = {enter_of}, exit = 0.5, exit_windows = {exit_windows} }}
# Where it may speak: turning, and within what the coarse channels hold.
regime = [
    {{ feature = "speed", low = 300.0, high = 12000.0 }},
    {{ feature = "shaft_power", low = -600000.0, high = 790000.0 }},
]

# The electric power in watts: the shaft's, which is known, and by the output what is lost on the way. Sigma is the
# deviation on clean drives that training never saw.
[residual]
feature = "electric_power"
known = [{{ feature = "shaft_power", factor = {factor} }}]
offset = {offset:.4f}
scale = {scale:.4f}
sigma = {sigma:.4f}
"""


def write(folder, weights, calibration, recipe, document):
    """calibration [windows, features] are clean drives that the weights never saw."""
    params, x, offset, scale = load(weights)
    quantize = recipe["quantize"]
    layers = int8.quantise(params, x, quantize)
    file = folder / f"{recipe['name']}.int8.onnx"
    int8.save(layers, file, recipe["name"])
    physical = fit.physical(calibration, document)
    speaks = bounded(physical)
    residual = (physical[:, fit.TARGET] - foretold(layers, calibration, physical, offset, scale, quantize))[speaks]
    sigma = float(np.sqrt((residual**2).mean()))
    threshold = float(np.quantile(np.abs(residual) / sigma, 1 - recipe["decision"]["false_windows"]))
    decision = {k: recipe["decision"][k] for k in ("enter_windows", "enter_of", "exit_windows")}
    (folder / "model.toml").write_text(MANIFEST.format(
        name=recipe["name"], version=recipe["version"], offset=offset, scale=scale, sigma=sigma, threshold=threshold,
        digest=hashlib.sha256((folder / "features.toml").read_bytes()).hexdigest(), intercept=-2 * threshold,
        input=float(np.float32(quantize["input_limit"] / 127)), output=float(layers[-1]["y_scale"]),
        factor=float(f"{fit.RAD_PER_S:.8g}"), **decision,
    ))
    golden(folder, file, layers, calibration, quantize)


def bounded(physical):
    """Which windows lie within the manifest's regime."""
    speed, shaft = physical[:, fit.SPEED], physical[:, fit.SHAFT]
    return (speed >= 300) & (speed <= 12000) & (shaft >= -600000) & (shaft <= 790000)


def load(weights):
    """What a training kept. -> params, the training features, offset and scale of the output in watts"""
    kept = np.load(weights)
    params = [kept[f"arr_{n}"] for n in range(sum(n.startswith("arr_") for n in kept.files))]
    return params, kept["x"], float(kept["offset"]), float(kept["scale"])


def foretold(layers, x, physical, offset, scale, quantize):
    """Watts by the integer network. x [windows, features] as the model takes it, and in physical units."""
    q = int8.quantise_input(x, quantize["input_limit"] / 127)
    output = int8.integers(layers, q)[:, 0].astype(float) * float(layers[-1]["y_scale"])
    return fit.known(physical) + offset + scale * output


def golden(folder, file, layers, x, quantize):
    """Writes golden.toml. Numpy's integers must agree with ONNX Runtime on every vector."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(11)
    drives = int8.quantise_input(x[rng.choice(len(x), 24, replace=False)], quantize["input_limit"] / 127).T
    inputs = {
        "one-drive": rng.integers(-127, 128, (8, 1)),
        "uniform": rng.integers(-127, 128, (8, 96)),
        "extremes": rng.choice([-127, 0, 127], (8, 16)),
        "drives": drives,
    }
    text = ["# Written by train.py. Bytes are int8 in hexadecimal; inputs are [channels][subjects].", "schema = 1"]
    for name, q in inputs.items():
        q = q.astype(np.int8)
        out = session.run(None, {"features": q[None]})[0][0, 0]
        np.testing.assert_array_equal(out, int8.integers(layers, q.T)[:, 0])
        text += ["", "[[vector]]", f'name = "{name}"', f"subjects = {q.shape[1]}"]
        text += [f'input = "{q.tobytes().hex()}"', f'output = "{out.tobytes().hex()}"']
    (folder / "golden.toml").write_text("\n".join([*text, ""]))
