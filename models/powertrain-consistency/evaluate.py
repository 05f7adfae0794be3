"""What network, linear baseline and rules say of simulated drives that nothing was fitted on. Prints a line a figure, or
with --json one object.

    python evaluate.py --telltale ../../target/debug/telltale --work DIR [--json]
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import tomllib
from pathlib import Path

import numpy as np

import data
import export
import fit
import int8
import program

HERE = Path(__file__).parent
# What the rules are to name for each kind of fault.
NAMES = {
    "torque-offset": "Torque",
    "current-gain": "InverterCurrent",
    "motor-temperature-drift": "MotorTemperature",
    "blocked-drive-cooling": "DriveCooling",
    "weak-contactor": "Contactors",
    "aged-low-voltage-battery": "LowVoltageBattery",
}


def main():
    options = program.arguments(__doc__)
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    result = figures(options, recipe)
    print(json.dumps(result) if options.json else "\n".join(f"{key:<24} {value}" for key, value in result.items()))


def figures(options, recipe):
    """Of the files in this folder; the f32 network is that of the last training, and absent without one."""
    document = tomllib.loads((HERE / "features.toml").read_text())
    judges = windows(options, recipe, document)
    clean = data.drives(options.telltale, options.work, recipe, "test")
    hours = sum(d.hours for d in clean)
    result = {"clean_drives": len(clean), "clean_hours": hours, "judges": {}}
    for name, judge in judges.items():
        began = sum(len(edges(*judge.held(d))) for d in clean)
        result["judges"][name] = {
            "residual_w": judge.spread(clean), "false_alarms": began, "false_alarms_per_100_h": began / hours * 100,
            "false_alarms_interval": fit.poisson(began, hours),
        }
    told = [(d.name, *said) for d in clean for said in d.said]
    result["judges"]["rules"] = {
        "false_alarms": len(told), "false_alarms_per_100_h": len(told) / hours * 100, "false_alarms_interval": fit.poisson(len(told), hours),
        "which": told,
    }
    onset = recipe["faults"]["onset_s"]
    result["faults"] = {
        kind: {**{name: found([edges(*judge.held(d)) for d in drives], onset) for name, judge in judges.items()}, "rules": named(kind, drives, onset)}
        for kind, drives in data.faulty(options.telltale, options.work, recipe).items()
    }
    return result


class Judge:
    """A foretold power, with the deviation and the threshold that calibration drives give."""

    def __init__(self, foretell, document, settings, sigma, threshold):
        self.foretell, self.document, self.settings, self.sigma, self.threshold = foretell, document, settings, sigma, threshold

    @classmethod
    def calibrated(cls, foretell, document, settings, calibration):
        judge = cls(foretell, document, settings, 1.0, 1.0)
        residual = np.concatenate([judge.residual(d)[0] for d in calibration])
        judge.sigma = float(np.sqrt((residual**2).mean()))
        judge.threshold = float(np.quantile(np.abs(residual) / judge.sigma, 1 - settings["false_windows"]))
        return judge

    def residual(self, drive):
        """-> (watts, seconds) of the windows in which it may speak"""
        whole = ~np.isnan(drive.x).any(1)
        x, end = drive.x[whole], drive.end[whole]
        physical = fit.physical(x, self.document)
        speaks = export.bounded(physical)
        return (physical[:, fit.TARGET] - self.foretell(x, physical))[speaks], end[speaks]

    def held(self, drive):
        """-> (anomalous, seconds) window by window"""
        residual, end = self.residual(drive)
        return fit.alarms(np.abs(residual) / self.sigma >= self.threshold, self.settings), end

    def spread(self, drives):
        return float(np.sqrt((np.concatenate([self.residual(d)[0] for d in drives]) ** 2).mean()))


def windows(options, recipe, document):
    """The judges of windows, by name."""
    settings, quantize = recipe["decision"], recipe["quantize"]
    manifest = tomllib.loads((HERE / "model.toml").read_text())
    layers, r = int8.load(HERE / manifest["onnx"]), manifest["residual"]
    training = np.concatenate([d.x for d in data.drives(options.telltale, options.work, recipe, "training")])
    losses = fit.losses(fit.physical(training[~np.isnan(training).any(1)], document))
    calibration = data.drives(options.telltale, options.work, recipe, "calibration")
    threshold = -manifest["calibration"]["intercept"] / manifest["calibration"]["slope"]
    shipped = lambda x, p: export.foretold(layers, x, p, r["offset"], r["scale"], quantize)
    judges = {"network_int8": Judge(shipped, document, settings, r["sigma"], threshold)}
    weights = options.work / "weights.npz"
    if weights.exists():
        params, _, offset, scale = export.load(weights)
        whole = lambda x, p: fit.known(p) + offset + scale * fit.output(params, x)
        judges["network_f32"] = Judge.calibrated(whole, document, settings, calibration)
    judges["linear"] = Judge.calibrated(lambda _, p: fit.linear(p, losses), document, settings, calibration)
    return judges


def edges(held, end):
    """When alarms began, in seconds."""
    return end[np.flatnonzero(held & ~np.concatenate([[False], held[:-1]]))] if len(held) else np.array([])


def found(began, onset):
    """Drives whose first alarm after the onset came, and how long after it."""
    first = [b[b >= onset] for b in began]
    late = sorted(float(b[0] - onset) / 60 for b in first if len(b))
    return summary(late, len(began)) | {"before_onset": int(sum((b < onset).sum() for b in began))}


def named(kind, drives, onset):
    """The same of the rules, which say what it is; and what else they said."""
    first = [[at for subject, at in d.said if subject == NAMES[kind] and at >= onset] for d in drives]
    late = sorted((ats[0] - onset) / 60 for ats in first if ats)
    others = sorted({subject for d in drives for subject, _ in d.said if subject != NAMES[kind]})
    return summary(late, len(drives)) | {"names": NAMES[kind], "others_named": others}


def summary(late, count):
    middle = late[len(late) // 2] if late else None
    return {"found": len(late), "of": count, "rate_interval": fit.wilson(len(late), count), "median_minutes": middle}


if __name__ == "__main__":
    main()
