"""Golden vectors: int8 inputs and the bytes that ONNX Runtime answers; and an invented charge with the features that
the double-precision oracle below reads off it, and the answer. The oracle shares no code with the vehicle's."""

import tomllib

import numpy as np
import onnxruntime

from health import int8


def write(folder, recipe):
    """Writes golden.toml from the folder's own files."""
    document = tomllib.loads((folder / "features.toml").read_text())
    session = onnxruntime.InferenceSession(str(folder / f"{recipe['name']}.int8.onnx"), providers=["CPUExecutionProvider"])
    channels = len(document["feature"])
    rng = np.random.default_rng(11)
    inputs = {
        "one-cell": rng.integers(-127, 128, (channels, 1)),
        "uniform": rng.integers(-127, 128, (channels, 96)),
        "near-zero": np.clip(np.rint(rng.normal(0, 24, (channels, 88))), -127, 127),
        "extremes": rng.choice([-127, 0, 127], (channels, 16)),
    }
    text = ["# Written by golden.py. Bytes are int8 in hexadecimal; inputs are [channels][subjects].", "schema = 1"]
    for name, q in inputs.items():
        q = q.astype(np.int8)
        text += ["", "[[vector]]", f'name = "{name}"', f"subjects = {q.shape[1]}"]
        text += [f'input = "{q.tobytes().hex()}"', f'output = "{answer(session, q).tobytes().hex()}"']
    volts, amps, celsius = curve(document["charge"]["nominal_ah"])
    x = oracle(volts, amps, celsius, document)
    q = int8.quantise_input(x, recipe["quantize"]["input_limit"] / 127)
    text += ["", "# A charge of one cell, a sample each period: rest, constant current, constant voltage, rest.", "[charge]"]
    text += [f"{name} = {plain(values)}" for name, values in (("volts", volts), ("amps", amps), ("celsius", celsius))]
    text += [f"features = {plain(x)}", f'input = "{q.tobytes().hex()}"', f'output = "{answer(session, q[:, None]).tobytes().hex()}"', ""]
    (folder / "golden.toml").write_text("\n".join(text))


def answer(session, q):
    """q [channels, subjects] int8 -> [subjects] int8"""
    return session.run(None, {"features": q[None]})[0][0, 0]


def plain(row):
    return "[" + ", ".join(repr(round(float(v), 6)) for v in row) + "]"


def curve(nominal_ah):
    """A charge of an invented cell with four fifths of its capacity left, sampled each 5 s. -> volts, amps, celsius"""
    volts, amps, held, current, times = [3.5868] * 30, [0.0] * 30, 0.2, 1.5, nominal_ah / 2
    while current > 0.06:
        open_circuit = 3.45 + 0.75 * held / 1.6 + 0.06 * np.sin(4 * held)
        current = min(1.5, (4.2 - open_circuit) / 0.12)
        volts.append(round(open_circuit + 0.12 * current, 4))
        amps.append(round(current * times, 4))
        held += current * 5 / 3600
    volts += [volts[-1]] * 30
    amps += [0.0] * 30
    return np.array(volts), np.array(amps), np.round(24 + 3 * np.sin(np.arange(len(volts)) / 600), 2)


def oracle(volts, amps, celsius, document):
    """features.toml over a charge that is one sample a period. -> [features], scaled and clipped, 0 where absent"""
    ah = np.cumsum(amps) * document["period_s"] / 3600
    flows = amps >= 0.02 * document["charge"]["nominal_ah"]
    settled = np.flatnonzero(flows)[0] + int(document["charge"]["settle_s"] / document["period_s"])
    nominal, values = document["charge"]["nominal_ah"], {}

    def reached(edge):
        above = np.flatnonzero((volts >= edge) & (np.arange(len(volts)) > settled))
        if len(above) == 0 or volts[settled] >= edge:
            return None
        at = above[0]
        share = (edge - volts[at - 1]) / (volts[at] - volts[at - 1])
        return ah[at - 1] + share * (ah[at] - ah[at - 1])

    def faded(amperes):
        at = np.flatnonzero(amps >= amperes)[-1] + 1
        share = (amps[at - 1] - amperes) / (amps[at - 1] - amps[at])
        return ah[at - 1] + share * (ah[at] - ah[at - 1])

    for feature in document["feature"]:
        match feature["op"]:
            case "charge_between":
                low, high = reached(feature["low"]), reached(feature["high"])
                value = None if low is None or high is None else (high - low) / nominal
            case "charge_fade":
                value = (faded(feature["rate"] * nominal) - reached(feature["low"])) / nominal
            case "charge_temperature":
                value = celsius[flows].mean()
            case "charge_rate":
                value = amps.max() / nominal
            case "present":
                value = float(values[feature["of"]] is not None)
        values[feature["name"]] = value
    scaled = [
        0.0 if values[f["name"]] is None else np.clip((values[f["name"]] - f.get("offset", 0)) / f["scale"], -f["clip"], f["clip"])
        for f in document["feature"]
    ]
    return np.array(scaled)
