"""Golden vectors: int8 inputs and the bytes that ONNX Runtime answers, for the agent's tests and a bundle's self-test;
and one window from voltages to logit, with features from the double-precision oracle below. The oracle shares no code
with the vehicle's."""

import numpy as np
import onnxruntime

import data  # noqa: F401, finds the folder of int8
import int8



def write(folder, file, layers, recipe):
    """Writes golden.toml. Numpy's integers must agree with ONNX Runtime on every vector."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(11)
    inputs = {
        "one-cell": rng.integers(-127, 128, (8, 1)),
        "uniform": rng.integers(-127, 128, (8, 96)),
        "near-zero": np.clip(np.rint(rng.normal(0, 12, (8, 88))), -127, 127),
        "extremes": rng.choice([-127, 0, 127], (8, 16)),
    }
    text = ["# Written by golden.py. Bytes are int8 in hexadecimal; inputs are [channels][subjects].", "schema = 1"]
    for name, q in inputs.items():
        q = q.astype(np.int8)
        out = answer(session, layers, q)
        text += ["", "[[vector]]", f'name = "{name}"', f"subjects = {q.shape[1]}"]
        text += [f'input = "{q.tobytes().hex()}"', f'output = "{out.tobytes().hex()}"']
    volts, amps = example(rng)
    x, present = oracle(volts, amps)
    q = int8.quantise_input(np.where(present[:, None], x, 0), recipe["input_limit"] / 127)
    out = answer(session, layers, q.T)
    text += ["", "# A window of 20 steps x 12 cells; nan is a step in which the signal had no value.", "[window]"]
    text += [f"amps = {plain(amps)}", "volts = [", *(f"    {plain(row)}," for row in volts), "]"]
    text += [f"present = {str(present.tolist()).lower()}", "# [cells][features], offset, scaled and clipped; 0 where absent."]
    text += ["features = [", *(f"    {plain(row)}," for row in np.nan_to_num(x)), "]"]
    text += [f'input = "{q.T.tobytes().hex()}"', f'output = "{out.tobytes().hex()}"', ""]
    (folder / "golden.toml").write_text("\n".join(text))


def answer(session, layers, q):
    """q [channels, subjects] int8 -> logits [subjects] int8"""
    out = session.run(None, {"features": q[None]})[0][0, 0]
    np.testing.assert_array_equal(out, int8.integers(layers, q.T)[:, 0])
    return out


def plain(row):
    return "[" + ", ".join("nan" if np.isnan(v) else repr(round(float(v), 6)) for v in row) + "]"


def example(rng):
    """A pack under a changing load with one low cell, one resistive cell, and every way of being absent."""
    amps = np.round(rng.uniform(-40, 110, 20), 1)
    offset, ohm = rng.normal(0, 0.003, 12), 1e-3 * (1 + rng.normal(0, 0.03, 12))
    offset[4] -= 0.060
    ohm[7] += 0.0012
    volts = np.round(3.9 - 0.002 * np.arange(20)[:, None] - amps[:, None] * ohm + offset, 3)
    volts[3], amps[3] = np.nan, np.nan
    volts[7, 2] = np.nan
    volts[9:19, 5] = np.nan
    volts[12, :7] = np.nan
    return volts, amps


def oracle(volts, amps):
    """features.toml in double precision. volts [20, 12], amps [20] -> features [12, 8], present [12]"""
    seen = ~np.isnan(volts)
    volts = np.where((seen.sum(1) * 2 < volts.shape[1])[:, None], np.nan, volts)
    with np.errstate(all="ignore"):
        pack = np.array([np.nan if np.isnan(r).all() else np.nanmedian(r) for r in volts])
        d = volts - pack[:, None]
        present = (~np.isnan(d)).sum(0) >= 12
        middle, low, high = (np.nanquantile(d, q, axis=0) for q in (0.5, 0.1, 0.9))
        mad = np.nanmedian(np.abs(d - middle), 0)
        slope, change = np.array([relation(c, amps) for c in d.T]).T
    good = middle[present]
    spread = np.median(np.abs(good - np.median(good)))
    shared = np.ones(len(middle))
    raw = [middle, low, high, mad, slope, change, spread * shared, np.nanmean(pack) * shared]
    offset = [0, 0, 0, 0, 0, 0, 0, 3.75]
    scale = [0.010, 0.010, 0.010, 0.004, 0.00025, 0.005, 0.006, 0.10]
    x = np.stack([np.clip((r - o) / s, -8, 8) for r, o, s in zip(raw, offset, scale)], 1)
    return np.where(present[:, None], x, np.nan), present


def relation(d, amps):
    """Ridge slope over the current, and the change from the first half to the second."""
    both = ~np.isnan(d) & ~np.isnan(amps)
    i, v = amps[both] - amps[both].mean(), d[both] - d[both].mean()
    return (i * v).mean() / ((i * i).mean() + 25), np.nanmean(d[10:]) - np.nanmean(d[:10])
