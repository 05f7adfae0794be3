"""What the committed model says of simulated packs that it never saw. Prints a line a pack, or with --json one object.

    python evaluate.py --telltale ../../target/debug/telltale --work DIR [--json]
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import tomllib
from pathlib import Path

import numpy as np

import packs
import health
import program
import resistance
from health import int8

HERE = Path(__file__).parent


def main():
    options = program.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    test = packs.make(options.telltale, options.work, recipe, training=False)[1]
    result = figures(options, test, recipe)
    print(json.dumps(result) if options.json else "\n".join(f"{key:<24} {value}" for key, value in result.items()))


def figures(options, test, recipe):
    """Of the files in this folder."""
    manifest, document = (tomllib.loads((HERE / n).read_text()) for n in ("model.toml", "features.toml"))
    scale, offset = (np.array([f.get(k, 0.0) for f in document["feature"]]) for k in ("scale", "offset"))
    e = manifest["estimate"]
    model = health.Fitted(
        offset, scale, e["offset"], e["scale"], [], int8.load(HERE / manifest["onnx"]), [], recipe["charge"], recipe["quantize"]
    )
    each, inside, count, silent = {}, [], 0, 0
    for pack in test:
        said = within(pack.x, document, e["bounds"])
        width = np.array(e["half_width"])[np.minimum(health.missing(pack.x, recipe["charge"]), len(e["half_width"]) - 1)]
        error = model.predict(pack.x) - pack.y
        count, silent = count + len(said), silent + int((~said).sum())
        if said.any():
            each[pack.name] = health.rmse(error[said], 0)
            inside.append(np.abs(error[said]) <= width[said])
    worst = max(each, key=each.get)
    return {
        "sim_rmse": float(np.mean(list(each.values()))), "sim_worst": {"unit": worst, "rmse": each[worst]},
        "sim_coverage": float(np.concatenate(inside).mean()), "packs": len(test), "packs_judged": len(each),
        "cells": count, "cells_indeterminate": silent, "per_pack": each,
        "resistance": resistance.figures(options.telltale, options.work, recipe),
    }


def within(x, document, bounds):
    """Which rows lie inside the manifest's bounds."""
    names = [f["name"] for f in document["feature"]]
    count = sum(f["op"] in ("charge_between", "charge_fade") for f in document["feature"])
    x = x.copy()
    x[:, count : 2 * count] = ~np.isnan(x[:, :count])
    columns = {b["feature"]: x[:, names.index(b["feature"])] for b in bounds}
    return np.all([(columns[b["feature"]] >= b["low"]) & (columns[b["feature"]] <= b["high"]) for b in bounds], 0)


if __name__ == "__main__":
    main()
