"""What the model finds, and what it cries over nothing: evaluation/figures.md, figures.json and families.png. By itself it
puts the recordings and the simulator's traffic through the committed model and prints its figures.

    python evaluate.py --telltale ../../target/debug/telltale --data DIR --work DIR [--json]
"""

import argparse
import json
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import attacks
import data
import int8 as quantization
import network
import rule
import simulated

HERE = Path(__file__).parent
AT_ONCE = 6  # logs that the vehicle's code reads at the same time
MODELS = ["verdict", "int8", "rule", "f32", "linear", "bigram", "bigram, learned up to the test"]
AFTER_S = 0.1  # what is fed behind a stretch, so that its last second ends
RECORDED = {
    "DenialOfService_lowestID": "flood", "MessageIDFuzzing": "fuzzing", "PayloadFuzzing_ID_1": "fuzzing",
    "PayloadFuzzing_ID_145": "fuzzing", "SingleIDReplay_ID_8": "replay", "SingleIDReplay_ID_145": "replay",
    "SingleIDReplay_ID_1": "replay", "OrderedSequenceReplay_n_2": "replay", "OrderedSequenceReplay_n_5": "replay",
    "OrderedSequenceReplay_n_10": "replay",
}
PLANTED = {
    "suppression, all frames": ("suppress", {"share": 1.0}), "suppression, half": ("suppress", {"share": 0.5}),
    "suppression, a fifth": ("suppress", {"share": 0.2}), "masquerade, payload held": ("masquerade", {"how": "held"}),
    "masquerade, moving bits at random": ("masquerade", {"how": "random"}),
    "masquerade, one byte": ("masquerade", {"how": "byte"}), "masquerade, earlier payloads": ("masquerade", {"how": "old"}),
}


def main():
    options = arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    result = report(data.Vehicle(options.telltale, options.work), options, recipe)
    if options.json:
        print(json.dumps(result))
    else:
        print((HERE / "evaluation/figures.md").read_text())


def arguments(what):
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--telltale", required=True, type=Path, help="the binary that computes features")
    parser.add_argument("--data", type=Path, help="folder of the recordings (TELLTALE_DATA)")
    parser.add_argument("--work", required=True, type=Path, help="scratch folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.data is None or not (options.data / "volvo_v40_can/clean.can.zip").exists():
        print("skipped: the recordings volvo_v40_can are not there (TELLTALE_DATA names their folder)", file=sys.stderr)
        if options.json:
            print(json.dumps({"skipped": "no recordings"}))
        sys.exit(0)
    return options


def int8(layers, x, recipe):
    """Logits as the vehicle computes them. x [n, features] -> [n]"""
    q = quantization.quantise_input(x, recipe["input_limit"] / 127)
    return quantization.integers(layers, q)[:, 0].astype(np.float32) * np.float32(recipe["output_limit"] / 127)


def weights(options, recipe):
    """The f32 network, the linear model and the rows of the last training; trained anew where there are none."""
    import train

    file = options.work / "weights.npz"
    if not file.exists():
        vehicle = data.Vehicle(options.telltale, options.work)
        vehicle.has_rule = False
        train.fit(vehicle, options, recipe, data.read(options.data, "clean"))
    kept = np.load(file)
    arrays = [kept[f"arr_{n}"] for n in range(len(kept.files) - 2)]
    return arrays[:-2], arrays[-2:], kept["features"], kept["labels"]


def tuning(vehicle, recipe, clean, pairs=False):
    """The tuning stretch's seconds: each half by a profile that was verified on the other. With `pairs`, by a profile that
    learned the other half too."""
    (start, end), train, warm_up = recipe["split"]["tune"], recipe["split"]["train"], recipe["split"]["warm_up"]
    middle, parts = (start + end) / 2, []
    for (a, b), other in (((start, middle), (middle, end)), ((middle, end), (start, middle))):
        also = [clean.cut(*other)]
        profile = vehicle.learn("tune", [clean.cut(*train), *also] if pairs else [clean.cut(*train)], () if pairs else also)
        parts.append(vehicle.seconds("tune", profile, clean.cut(a - warm_up, b + AFTER_S)).cut(a, b).x)
    return np.concatenate(parts)


def threshold(score, x, recipe):
    """-> the threshold at so many false alarms an hour, the tail's scale"""
    s = score(x).astype(float)
    return network.threshold(s, recipe["decision"]["false_alarms_an_hour"], recipe["quantize"]["output_limit"] / 127)


def successors(x):
    """The id-bigram baseline: how many successors were never seen in the training stretch. One feature of the row."""
    names = [f["name"] for f in tomllib.loads((HERE / "features.toml").read_text())["feature"]]
    return 2.0 ** x[:, names.index("pair")] - 1


def report(vehicle, options, recipe):
    """Everything, of every model in one run, on the same threshold rule."""
    clean = data.read(options.data, "clean")
    layers = quantization.load(HERE / tomllib.loads((HERE / "model.toml").read_text())["onnx"])
    params, linear, _, _ = weights(options, recipe)
    scores = {
        "int8": lambda x: int8(layers, x, recipe["quantize"]), "f32": lambda x: network.logit(params, x),
        "linear": lambda x: network.logit(linear, x), "bigram": successors,
    }
    tune = tuning(vehicle, recipe, clean)
    limits = {name: threshold(score, tune, recipe) for name, score in scores.items()}
    split, warm_up = recipe["split"], recipe["split"]["warm_up"]
    start, end = split["test"]
    profile = vehicle.learn("v40", [clean.cut(*split["train"])], [clean.cut(*split["tune"])])
    # The bigram baseline may know every successor up to the test stretch.
    knowing = vehicle.learn("v40-all", [clean.cut(split["train"][0], split["tune"][1])])
    limits["bigram, learned up to the test"] = threshold(successors, tuning(vehicle, recipe, clean, True), recipe)

    def alarms(name, traffic, keep=(start, end)):
        rows = vehicle.seconds(name, profile, traffic).cut(*keep)
        said = {model: score(rows.x) > limits[model][0] for model, score in scores.items()}
        said["rule"] = rows.rule > 0
        said["verdict"] = said["int8"] | said["rule"]
        return rows, said

    def alarms_known(name, traffic, keep=(start, end)):
        rows = vehicle.seconds(f"known-{name}", knowing, traffic).cut(*keep)
        return successors(rows.x) > limits["bigram, learned up to the test"][0]

    result = {"threshold": {name: {"value": round(float(v), 3), "scale": round(float(b), 3)} for name, (v, b) in limits.items()}}
    result["tuning_seconds"] = len(tune)
    result["rule"] = json.loads((options.work / "rule.json").read_text())
    rows, said = alarms("clean", clean.cut(start - warm_up, end))
    said["bigram, learned up to the test"] = alarms_known("clean", clean.cut(start - warm_up, end))
    result["clean"] = {"seconds": len(rows.end), "false_alarms": {m: int(v.sum()) for m, v in said.items()}}
    result["clean"]["most_an_hour_95"] = {m: round(network.most(v.sum(), len(rows.end) / 3600), 1) for m, v in said.items()}

    def recorded(name):
        traffic = data.read(options.data, name).cut(start - warm_up, end)
        rows, said = alarms(name, traffic)
        said["bigram, learned up to the test"] = alarms_known(name, traffic)
        hit = data.attacked(traffic, rows)
        first = traffic.at[traffic.attack & (traffic.at >= start * 1_000_000)][0] / 1e6
        return {
            "family": RECORDED[name], "attacked_seconds": int(hit.sum()),
            "frames": int((traffic.attack & (traffic.at >= start * 1_000_000)).sum()),
            "found": {m: int((v & hit).sum()) for m, v in said.items()},
            "quiet_seconds": int((~hit).sum()), "false_alarms": {m: int((v & ~hit).sum()) for m, v in said.items()},
            "latency_s": {m: round(float(rows.end[v & hit][0] - first), 2) if (v & hit).any() else None for m, v in said.items()},
            "looks_like": families(rows, said["verdict"] & hit),
        }

    with ThreadPoolExecutor(AT_ONCE) as pool:
        result["recorded"] = dict(zip(RECORDED, pool.map(recorded, RECORDED)))
    result["planted"] = planted(vehicle, recipe, clean, alarms)
    result["simulated"] = simulated.measure(vehicle, recipe, scores, limits)
    write(result, recipe)
    return result


def planted(vehicle, recipe, clean, alarms):
    """Each identifier of the test stretch, one attack of eight seconds each: a log for every one."""
    spec, rng = recipe["planted"], np.random.default_rng(recipe["planted"]["seed"])
    (a, b), warm_up = spec["at"], recipe["split"]["warm_up"]
    around = clean.cut(a - warm_up - 2, b + 4)
    forged = []
    for name, (attack, how) in PLANTED.items():
        for id in attacks.identifiers(around, spec["fewest"]):
            traffic, hit = getattr(attacks, attack)(around, (a, b), rng, id=id, **how)
            if hit:  # an identifier whose payload never moves can't be forged by any of these
                forged.append((name, f"planted-{len(forged)}", traffic, hit))

    def episode(one):
        name, log, traffic, hit = one
        rows, said = alarms(log, traffic, (a - 2, b + 4))
        inside = np.isin(np.rint(rows.end).astype(int) - 1, sorted(hit))
        # What begins in one second may be seen in the next: an interval is long when it has ended.
        after = inside | np.concatenate([[False], inside[:-1]])
        late = {m: float(rows.end[v & after][0] - rows.end[inside][0] + 1) for m, v in said.items() if (v & after).any()}
        return name, int(inside.sum()), late, {m: int((v & inside).sum()) for m, v in said.items()}, families(rows, said["verdict"] & after)

    result = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, seconds, late, found, looks in pool.map(episode, forged):
            of = result.setdefault(name, {"episodes": 0, "attacked_seconds": 0, "found": {}, "found_seconds": {}, "late": {}, "looks_like": {}})
            of["episodes"] += 1
            of["attacked_seconds"] += seconds
            for model, count in found.items():
                of["found"][model] = of["found"].get(model, 0) + (model in late)
                of["found_seconds"][model] = of["found_seconds"].get(model, 0) + count
            for model, value in late.items():
                of["late"].setdefault(model, []).append(value)
            for family, count in looks.items():
                of["looks_like"][family] = of["looks_like"].get(family, 0) + count
    for of in result.values():
        of["median_latency_s"] = {m: float(np.median(v)) for m, v in of.pop("late").items()}
    return result


def families(rows, alarm):
    """What the alarmed seconds look like."""
    counts = np.bincount(rows.family[alarm], minlength=len(data.FAMILIES))
    return {name: int(count) for name, count in zip(data.FAMILIES, counts) if count}


def share(hits, of):
    low, high = network.wilson(hits, of)
    return f"{hits} of {of} ({100 * low:.0f} to {100 * high:.0f} %)"


def write(result, recipe):
    """evaluation/figures.md and figures.json, and the plot."""
    folder = HERE / "evaluation"
    folder.mkdir(exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    models = MODELS
    lines = ["# Figures\n\nThe verdict is what the vehicle says: the int8 network or the rule beside it. Written by `train.py` and `evaluate.py`. Shares with their 95 % intervals (Wilson), rates with exact ones.\n"]
    lines += [f"Thresholds from {result['tuning_seconds']} clean seconds, extrapolated to {recipe['decision']['false_alarms_an_hour']:g} false alarm an hour:\n"]
    lines += ["| model | threshold | scale of the tail |", "|---|---|---|"]
    lines += [f"| {m} | {v['value']} | {v['scale']} |" for m, v in result["threshold"].items()]
    lines += ["\nThe rule's limits by the seconds that it sums, and what of the training stretch's planted attacks each finds:\n"]
    lines += ["| seconds | " + " | ".join(rule.COUNTS) + " | false alarms an hour by the tail | planted attacked seconds found |", "|---" * (len(rule.COUNTS) + 3) + "|"]
    for one in result["rule"]["tried"]:
        cells = " | ".join(str(limit) for limit in one["limits"])
        ships = " (ships)" if one["seconds"] == result["rule"]["seconds"] else ""
        lines.append(f"| {one['seconds']}{ships} | {cells} | {one['false_an_hour']} | {one['found']} of {one['of']} |")
    lines.append(f"\nFrom {result['rule']['tried'][0]['clean']} clean seconds of the training and tuning stretch.")
    clean = result["clean"]
    lines += [f"\n## Clean seconds after the tuning stretch: {clean['seconds']}\n", "| model | false alarms | at most an hour, 95 % |", "|---|---|---|"]
    lines += [f"| {m} | {clean['false_alarms'][m]} | {clean['most_an_hour_95'][m]} |" for m in models]
    lines += ["\n## Recorded attacks: attacked seconds that are found\n", "| trace | frames | " + " | ".join(models) + " | verdict: seconds to the first alarm | looks like |", "|---" * (len(models) + 4) + "|"]
    for name, r in result["recorded"].items():
        cells = " | ".join(share(r["found"][m], r["attacked_seconds"]) for m in models)
        lines.append(f"| {name} | {r['frames']} | {cells} | {r['latency_s']['verdict']} | {told(r['looks_like'])} |")
    quiet = sum(r["quiet_seconds"] for r in result["recorded"].values())
    lines.append(f"\nSeconds of these traces without a frame of the attacker: {quiet}; alarms in them: {sum(r['false_alarms']['verdict'] for r in result['recorded'].values())}.")
    some = MODELS[:-1]
    lines += ["\n## Planted attacks of eight seconds, one an identifier: those that are found\n", "| attack | " + " | ".join(some) + " | verdict: attacked seconds | verdict: median seconds to the alarm | looks like |", "|---" * (len(some) + 4) + "|"]
    for name, r in result["planted"].items():
        cells = " | ".join(share(r["found"][m], r["episodes"]) for m in some)
        lines.append(f"| {name} | {cells} | {share(r['found_seconds']['verdict'], r['attacked_seconds'])} | {r['median_latency_s'].get('verdict')} | {told(r['looks_like'])} |")
    lines += simulated.lines(result["simulated"], some)
    (folder / "figures.md").write_text("\n".join(lines) + "\n")
    plot(folder / "families.png", result, ["verdict", "int8", "bigram"])


def told(looks):
    return ", ".join(f"{count} {name}" for name, count in sorted(looks.items(), key=lambda item: -item[1])) or "-"


def plot(path, result, models):
    """Share of what is found, by attack and model."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = [(name, r["found"], r["attacked_seconds"]) for name, r in result["recorded"].items()]
    rows += [(f"{name} (planted)", r["found"], r["episodes"]) for name, r in result["planted"].items()]
    figure, axis = pyplot.subplots(figsize=(9, 6))
    for n, (model, colour) in enumerate(zip(models, ("#1f5fa8", "#a9b4bf", "#c0392b"))):
        shares = [100 * found.get(model, 0) / of for _, found, of in rows]
        axis.barh(np.arange(len(rows)) + 0.27 * (n - 1), shares, 0.25, color=colour, label=model)
    axis.set_yticks(np.arange(len(rows)), [name for name, _, _ in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("found, % of attacked seconds (recorded) or of attacks (planted), at one false alarm an hour by the tail")
    axis.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
