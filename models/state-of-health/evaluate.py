"""What the recipe reaches on cells that it never saw: NASA leave-one-battery-out, HUST and XJTU by whole cells, each in
int8, in f32 and by the linear baseline. Prints a report, or with --json one JSON object.

    python evaluate.py --telltale ../../target/debug/telltale --data DIR --work DIR [--json]
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the order of sums, and with it the weights, must not depend on cores

import json
import sys
import tomllib
from pathlib import Path

import numpy as np

import data
import health
import network
import program
from health import int8

HERE = Path(__file__).parent
RECORDINGS = "folder of the recordings (TELLTALE_DATA)"
KINDS = ("int8", "f32", "linear")


def main():
    options = program.arguments(__doc__, RECORDINGS)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    result = everything(options, recipe)
    if options.json:
        print(json.dumps(result))
    else:
        print(markdown(result))


def everything(options, recipe):
    """All figures as one object, the headline figures first."""
    say("nasa: features by the vehicle's code")
    batteries = data.nasa(options.telltale, options.data, options.work, recipe)
    nasa = leave_one_out(batteries, recipe)
    parts = {"nasa_lobo": nasa}
    for name in ("hust", "xjtu"):
        parts[name] = whole_cells(name, options.data, recipe)
    result = {}
    for name, part in parts.items():
        for kind in KINDS:
            suffix = "" if kind == "int8" else f"_{kind}"
            result[f"{name}_rmse{suffix}"] = part[kind]["rmse"]
    return result | {f"{name}_details": part for name, part in parts.items()}


def leave_one_out(batteries, recipe):
    """Each battery by a model that was chosen, fitted and given its interval on the others."""
    charge = recipe["charge"]
    units, points = {kind: {} for kind in KINDS}, {}
    details = {"chosen": {}, "coverage": {}, "half_widths": {}, "by_missing": {}, "charges": {}, "left_out": {}, "resistance_ohm": {}}
    details["resistance"] = {c.name: health.resistance([c]) for c in batteries} | {"all": health.resistance(batteries)}
    for out in batteries:
        rest = [c for c in batteries if c is not out]
        candidate, inner = health.choose(rest, recipe)
        model = health.fit(rest, recipe, candidate)
        widths = health.half_widths(rest, recipe, candidate)
        said = health.can_say(out.x, charge)
        answers = {kind: standing(model.predict(out.x, kind), said, model.level) for kind in KINDS}
        for kind in KINDS:
            units[kind][out.name] = answers[kind] - out.y
        width = np.array(widths)[np.minimum(health.missing(out.x, charge), len(widths) - 1)]
        inside = np.abs(answers["int8"] - out.y) <= width
        details["chosen"][out.name] = candidate | {"inner_rmse": inner, "parameters": network.parameters(model.params)}
        details["coverage"][out.name] = float(inside[said].mean())
        details["half_widths"][out.name] = widths
        details["charges"][out.name] = {"judged": int(said.sum()), "indeterminate": int((~said).sum())}
        details["left_out"][out.name] = out.left_out
        ohm = out.resistance[~np.isnan(out.resistance)]
        details["resistance_ohm"][out.name] = [float(np.median(part)) for part in (ohm[:10], ohm[-10:]) if len(part)]
        details["by_missing"][out.name] = {
            f"from {charge['volts'][int(gone[:-1].sum())]:.2f} V, {'cut' if gone[-1] else 'faded'}":
                health.rmse(model.predict(health.without(out.x[said], gone)), out.y[said])
            for gone in health.patterns(charge)
        }
        points[out.name] = {"truth": out.y.tolist(), "said": answers["int8"].tolist(), "width": width.tolist()}
        say(f"nasa: {out.name} left out, {candidate}: {health.rmse(answers['int8'], out.y):.4f}")
    return summary(units, blocks=True) | {"details": details, "points": points}


def standing(answer, said, start):
    """What a vehicle would show: where a charge says nothing, the answer before it; before the first, the training
    cells' mean. No charge is dropped."""
    out, last = answer.copy(), start
    for n, good in enumerate(said):
        last = answer[n] if good else last
        out[n] = last
    return out


def whole_cells(name, folder, recipe):
    """HUST or XJTU: the same network, training and int8, on ready-made features."""
    settings, quantize = recipe[name], recipe["quantize"]
    training, test = data.ready_made(folder, name, settings)
    x = np.concatenate([c.x[:: settings["every"]] for c in training])
    y = np.concatenate([c.y[:: settings["every"]] for c in training])
    weight = np.concatenate([np.full(len(c.y[:: settings["every"]]), 1 / len(c.y)) for c in training])
    weight /= weight.mean()
    normal = network.Normaliser(x, quantize["input_limit"])
    level, spread = y.mean(), y.std()
    shared = {k: settings[k] for k in ("seeds", "hidden", "weight_decay", "epochs", "batch", "learning_rate")}
    params = network.ensemble(normal(x), (y - level) / spread, weight, **shared)
    linear = network.linear(normal(x), (y - level) / spread, weight)
    layers = int8.quantise(params, normal(x), quantize)

    def answer(kind, rows):
        if kind == "int8":
            q = int8.integers(layers, int8.quantise_input(normal(rows), quantize["input_limit"] / 127))
            return level + spread * q[:, 0] * np.float32(quantize["output_limit"] / 127)
        return level + spread * network.output(params if kind == "f32" else linear, normal(rows))

    units = {kind: {c.name: answer(kind, c.x) - c.y for c in test} for kind in KINDS}
    result = summary(units, blocks=False)
    say(f"{name}: {len(training)} cells train, {len(test)} test: {result['int8']['rmse']:.4f}")
    return result | {"details": {"training_cells": len(training), "test_cells": len(test), "parameters": network.parameters(params)}}


def summary(units, blocks):
    """errors by kind and unit -> mean and worst over units with 95 % bootstrap intervals. Units are drawn where there
    are many; of four batteries, stretches of ten charges within each."""
    out = {}
    for kind, errors in units.items():
        each = {name: health.rmse(e, 0) for name, e in errors.items()}
        worst = max(each, key=each.get)
        out[kind] = {
            "rmse": float(np.mean(list(each.values()))), "ci95": bootstrap(errors, blocks),
            "mae": float(np.mean([np.abs(e).mean() for e in errors.values()])),
            "worst": {"unit": worst, "rmse": each[worst]}, "per_unit": each,
        }
    return out


def bootstrap(errors, blocks, draws=2_000):
    rng = np.random.default_rng(5)
    names, means = list(errors), []
    if blocks:
        parts = {n: [e[a : a + 10] for a in range(0, len(e), 10)] for n, e in errors.items()}
        for _ in range(draws):
            drawn = [np.concatenate([parts[n][k] for k in rng.integers(0, len(parts[n]), len(parts[n]))]) for n in names]
            means.append(np.mean([health.rmse(e, 0) for e in drawn]))
    else:
        each = np.array([health.rmse(errors[n], 0) for n in names])
        means = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(draws)]
    return [float(v) for v in np.quantile(means, [0.025, 0.975])]


def markdown(result):
    lines = ["| data | int8 (95 % interval; worst) | f32 | linear |", "|---|---|---|---|"]
    for name in ("nasa_lobo", "hust", "xjtu"):
        d = result[f"{name}_details"]
        i, worst = d["int8"], d["int8"]["worst"]
        lines.append(
            f"| {name} | {i['rmse']:.4f} ({i['ci95'][0]:.4f} to {i['ci95'][1]:.4f}; {worst['unit']} {worst['rmse']:.4f}) "
            f"| {d['f32']['rmse']:.4f} | {d['linear']['rmse']:.4f} |"
        )
    return "\n".join(lines)


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
