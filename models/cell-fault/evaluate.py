"""Calibrates on the tuning split, and writes down what the models do on whole recordings: evaluation/figures.md and
evaluation/cells.png. By itself it puts both cars' recordings through the committed model and prints its figures.

    python evaluate.py --telltale ../../target/debug/telltale --data DIR --work DIR [--json]
"""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import data
import int8 as quantization
import network
import platt
import program
import reference

HERE = Path(__file__).parent
RECORDINGS = "folder of the recordings (TELLTALE_DATA)"


def main():
    options = program.arguments(__doc__, RECORDINGS)
    options.work.mkdir(parents=True, exist_ok=True)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    manifest = tomllib.loads((HERE / "model.toml").read_text())
    layers = quantization.load(HERE / manifest["onnx"])
    result = {}
    for name, car in data.cars(options.data, recipe).items():
        windows = reference.mask(data.features(options.telltale, car, options.work, name), manifest["regime"])
        result |= figures(name, car, windows, int8(layers, windows.x, recipe["quantize"]), manifest)
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{key:<36} {value}" for key, value in result.items()))


def figures(name, car, w, logits, manifest):
    """What the model says of one car: cells named, days before the BMS's highest warning, false alarms, AUC."""
    y, calibration = truth(car, w), manifest["calibration"]
    p = platt.sigmoid(calibration["slope"] * logits + calibration["intercept"])
    state = network.hysteresis(p, w.present, **manifest["decision"])
    named = np.flatnonzero(state.any(0))
    first = {f"Cell{c + 1}": (car.first_level_3 - w.end[np.argmax(state[:, c])]) / 86_400 for c in named}
    healthy = w.present & (y == 0)
    return {
        f"{name}_named": list(first),
        f"{name}_faulty": [f"Cell{c}" for c in car.spec["faulty_cells"]],
        f"{name}_days_before_level_3": {cell: round(float(days), 2) for cell, days in first.items()},
        f"{name}_healthy_cells_named": int((~np.isin(named + 1, car.spec["faulty_cells"])).sum()),
        f"{name}_healthy_windows_at_half": int(((p >= 0.5) & healthy).sum()),
        f"{name}_healthy_windows": int(healthy.sum()),
        f"{name}_auc": float(network.auc(logits[w.present], y[w.present])),
    }


def int8(layers, x, recipe):
    """Logits as the vehicle computes them. x [..., features] -> [...]"""
    q = quantization.quantise_input(x.reshape(-1, x.shape[-1]), recipe["input_limit"] / 127)
    step = np.float32(recipe["output_limit"] / 127)
    return (quantization.integers(layers, q)[:, 0].astype(np.float32) * step).reshape(x.shape[:-1])


def write(recipe, cars, windows, models):
    """Writes the figures of every model; returns the int8 model's calibration, rounded as the manifest holds it."""
    folder = HERE / "evaluation"
    folder.mkdir(exist_ok=True)
    text, calibrations = ["# Figures\n\nWritten by `train.py`. Events are from whole recordings.\n"], {}
    for name, model in models.items():
        calibrations[name] = np.round(calibrate(recipe, cars, windows, model), 6)
        text += section(name, recipe, cars, windows, model, calibrations[name])
    (folder / "figures.md").write_text("\n".join(text))
    plot(folder / "cells.png", recipe, cars, windows, models["int8"], calibrations["int8"])
    plot_reliability(folder / "reliability.png", recipe, cars, windows, models["int8"], calibrations["int8"])
    return calibrations["int8"]


def calibrate(recipe, cars, windows, model):
    """Platt scaling on the tuning split."""
    name = recipe["tune"]["car"]
    car, w = cars[name], windows[name]
    later = w.end >= car.first_level_3
    y = truth(car, w)[later][w.present[later]]
    return platt.fit(model(w.x[later])[w.present[later]].astype(float), y)


def truth(car, w):
    y = np.zeros(w.present.shape)
    y[:, [c - 1 for c in car.spec["faulty_cells"]]] = 1
    return y


def section(name, recipe, cars, windows, model, calibration):
    """One model's part of the report."""
    slope, intercept = calibration
    lines = [f"## {name}\n", f"Platt slope {slope:.4f}, intercept {intercept:.4f}.\n"]
    lines += ["| recording | split | AUC of windows | healthy windows above 0.5 | cells named, with the first time |"]
    lines += ["|---|---|---|---|---|"]
    for label, car in cars.items():
        w, y = windows[label], truth(car, windows[label])
        p = platt.sigmoid(slope * model(w.x) + intercept)
        state = network.hysteresis(p, w.present, **recipe["decision"])
        events = [
            f"Cell{c + 1} at {stamp(w.end[np.argmax(state[:, c])])}{lead(car, w.end[np.argmax(state[:, c])])}"
            for c in np.flatnonzero(state.any(0))
        ]
        for split, keep in splits(recipe, label, car, w):
            seen = w.present & keep[:, None]
            area = network.auc(p[seen], y[seen])
            wrong, all_healthy = ((p >= 0.5) & seen & (y == 0)).sum(), (seen & (y == 0)).sum()
            lines.append(f"| {label} | {split} | {area:.4f} | {wrong} of {all_healthy} | {'; '.join(events) or 'none'} |")
        lines += [reliability(label, p, y, w.present)] if name == "int8" and label != recipe["tune"]["car"] else []
    return [*lines, ""]


def splits(recipe, label, car, w):
    if label != recipe["tune"]["car"]:
        return [("whole", np.ones(len(w.end), bool))]
    later = w.end >= car.first_level_3
    return [("before level 3", ~later), ("tuning", later)]


def lead(car, first):
    days = (car.first_level_3 - first) / 86_400
    return f" ({days:.1f} days before level 3)" if np.isfinite(days) else ""


def reliability(label, p, y, present):
    edges = [0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0001]
    bins = []
    for a, b in zip(edges, edges[1:]):
        inside = (p >= a) & (p < b) & present
        if inside.any():
            bins.append(f"{a:.2f}-{min(b, 1):.2f}: {p[inside].mean():.3f} said, {y[inside].mean():.3f} true ({inside.sum()})")
    return f"\nCalibration on {label}: " + "; ".join(bins)


def stamp(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def plot(path, recipe, cars, windows, model, calibration):
    """Deviation and score over time: the faulty cells against the band of the healthy ones."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(cars), figsize=(11, 5.2), squeeze=False)
    for side, (label, car) in enumerate(cars.items()):
        w, step = windows[label], np.arange(len(windows[label].end))
        deviation = np.where(w.present, w.x[:, :, 0] * 10, np.nan)
        p = np.where(w.present, platt.sigmoid(calibration[0] * model(w.x) + calibration[1]), np.nan)
        for row, (values, unit) in enumerate(((deviation, "median deviation, mV"), (p, "probability"))):
            axis = axes[row][side]
            band = np.full((4, len(step)), np.nan)
            some = w.present[:, car.healthy].any(1)
            band[:, some] = np.nanquantile(values[some][:, car.healthy], [0, 0.05, 0.95, 1], axis=1)
            axis.fill_between(step, band[0], band[3], color="#d8dee4", linewidth=0, label="healthy cells, all")
            axis.fill_between(step, band[1], band[2], color="#a9b4bf", linewidth=0, label="healthy cells, 5 to 95 %")
            for cell, colour in zip(car.spec["faulty_cells"], ("#c0392b", "#1f5fa8")):
                axis.plot(step, values[:, cell - 1], color=colour, linewidth=0.7, label=f"Cell{cell}")
            if np.isfinite(car.first_level_3):
                axis.axvline(np.searchsorted(w.end, car.first_level_3), color="black", linewidth=0.8, linestyle=":")
            axis.set_ylabel(unit)
            axis.margins(x=0, y=0.2 if row == 0 else 0.05)
        axes[0][side].set_title(f"{label}: dotted line, first level 3 of its BMS")
        axes[0][side].legend(fontsize=7, loc="upper left", ncols=2)
        axes[1][side].set_xlabel("window of 10 minutes, one every 5 minutes of operation")
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def plot_reliability(path, recipe, cars, windows, model, calibration):
    """What was said against how often it was true, on cars that had no part in the calibration, with Wilson's intervals."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(4.2, 4.0))
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    for label, car in cars.items():
        if label == recipe["tune"]["car"]:
            continue
        w = windows[label]
        p = platt.sigmoid(calibration[0] * model(w.x) + calibration[1])[w.present]
        y = truth(car, w)[w.present]
        place = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
        for n in np.unique(place):
            inside = place == n
            count, share = inside.sum(), y[inside].mean()
            middle = (share + 1.92 / count) / (1 + 3.84 / count)
            half = 1.96 / (1 + 3.84 / count) * np.sqrt(share * (1 - share) / count + 0.96 / count**2)
            axis.errorbar(p[inside].mean(), middle, half, fmt="o", color="#1f5fa8", markersize=3, capsize=2, linewidth=0.8)
            axis.annotate(str(count), (p[inside].mean(), middle), fontsize=6, xytext=(4, -8), textcoords="offset points")
        axis.set_title(f"{label}, windows of all cells, by tenths", fontsize=9)
    axis.set_xlabel("probability that the model gives")
    axis.set_ylabel("share of faulty cells, 95 % interval")
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
