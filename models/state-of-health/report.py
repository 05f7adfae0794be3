"""evaluation/figures.md and evaluation/batteries.png: what `evaluate` found, for a reader."""

import numpy as np

import evaluate


def write(folder, result):
    folder.mkdir(exist_ok=True)
    details = result["nasa_lobo_details"]["details"]
    text = ["# Figures\n", "Written by `cargo xtask models train state-of-health`. RMSE as a share of the nominal capacity.\n"]
    text += [evaluate.markdown(result), ""]
    for name in ("nasa_lobo", "hust", "xjtu"):
        text += [f"## {name}\n", *table(result[f"{name}_details"])]
    text += ["## NASA: what was chosen, and the interval\n", *batteries(details, result["nasa_lobo_details"])]
    text += ["## NASA: charges that begin later, or are cut before the current has faded (int8 RMSE)\n", *partial(details)]
    (folder / "figures.md").write_text("\n".join(text))
    plot(folder / "batteries.png", result["nasa_lobo_details"])


def table(part):
    lines = ["| unit | int8 | f32 | linear |", "|---|---|---|---|"]
    for unit in part["int8"]["per_unit"]:
        lines.append(f"| {unit} | " + " | ".join(f"{part[k]['per_unit'][unit]:.4f}" for k in evaluate.KINDS) + " |")
    return [*lines, ""]


def batteries(details, part):
    lines = [
        "| left out | chosen by the other three | their inner RMSE | parameters not 0 | charges judged / indeterminate | inside the interval, said 90 % | resistance, mOhm, first and last ten |",
        "|---|---|---|---|---|---|---|",
    ]
    for unit, chosen in details["chosen"].items():
        charges, ohm = details["charges"][unit], details["resistance_ohm"][unit]
        lines.append(
            f"| {unit} | {chosen['hidden']}, decay {chosen['weight_decay']} | {chosen['inner_rmse']:.4f} | {chosen['parameters']} "
            f"| {charges['judged']} / {charges['indeterminate']} | {100 * details['coverage'][unit]:.0f} % | {', '.join(f'{value * 1e3:.0f}' for value in ohm) or 'none'} |"
        )
    ends = "; ".join(f"{unit}: {len(left)}" for unit, left in details["left_out"].items())
    lines += ["", "Resistance of the meter over that of the cycler's pulse of three seconds (its pulse taken out of what the meter sees):", ""]
    lines += ["| battery | charges | middle ratio | nine tenths of them | correlation |", "|---|---|---|---|---|"]
    for unit, r in details["resistance"].items():
        low, high = r["ratio_90"]
        lines.append(f"| {unit} | {r['pairs']} | {r['ratio']:.3f} | {low:.3f} to {high:.3f} | {r['correlation']:.2f} |")
    said, true = reliability(part["points"])
    lines += ["", f"Charges without a discharge after them, which have no label: {ends}.", ""]
    lines += ["Reliability: " + "; ".join(f"{s:.0%} said, {t:.1%} inside" for s, t in zip(said, true)) + ".", ""]
    return lines


def reliability(points):
    """Intervals narrowed and widened in proportion: what share of errors lies inside, against a normal error's."""
    said, truth, width = (np.concatenate([p[k] for p in points.values()]) for k in ("said", "truth", "width"))
    ratio = np.abs(said - truth) / np.maximum(width, 1e-9)
    said = np.array([0.5, 0.8, 0.9, 0.95])
    factor = np.array([0.674, 1.282, 1.645, 1.960]) / 1.645
    return said, [(ratio <= f).mean() for f in factor]


def partial(details):
    names = list(next(iter(details["by_missing"].values())))
    units = list(details["by_missing"])
    lines = ["| charge | " + " | ".join(units) + " | mean |", "|---" * (len(units) + 2) + "|"]
    for name in names:
        values = [details["by_missing"][unit][name] for unit in units]
        lines.append(f"| {name} | " + " | ".join(f"{v:.4f}" for v in values) + f" | {np.mean(values):.4f} |")
    return [*lines, ""]


def plot(path, part):
    """Truth and estimate with its interval, charge by charge, each battery by a model that never saw it; reliability."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 5, figsize=(17, 3.6))
    for axis, (name, p) in zip(axes, part["points"].items()):
        truth, said, width = (np.asarray(p[k]) for k in ("truth", "said", "width"))
        charge = np.arange(len(truth))
        axis.fill_between(charge, said - width, said + width, color="#d8dee4", linewidth=0, label="90 % interval")
        axis.plot(charge, said, color="#1f5fa8", linewidth=0.9, label="int8 estimate")
        axis.plot(charge, truth, color="black", linewidth=0.9, label="measured")
        axis.set_title(f"{name}: RMSE {part['int8']['per_unit'][name]:.4f}", fontsize=9)
        axis.set_xlabel("charge")
        axis.margins(x=0)
    axes[0].set_ylabel("state of health")
    axes[0].legend(fontsize=7)
    said, inside = reliability(part["points"])
    axes[4].plot([0.4, 1], [0.4, 1], color="#a9b4bf", linewidth=0.8)
    axes[4].plot(said, inside, marker="o", color="#c0392b")
    axes[4].set_title("reliability, all batteries", fontsize=9)
    axes[4].set_xlabel("said")
    axes[4].set_ylabel("inside the interval")
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})
    pyplot.close(figure)
