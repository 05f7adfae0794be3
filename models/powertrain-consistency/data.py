"""Simulated drives to rows: `telltale simulate` drives, `telltale features` reads, `telltale replay` says what the
vehicle's rules say."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from program import fingerprint, run  # noqa: E402

VEHICLE = """\
hours = {hours}
powertrain = true
faults = {faults}
[pack]
age_years = {age_years:.3f}
[thermal]
ambient_c = {ambient_c:.2f}
[vehicle]
mass_kg = {mass_kg:.1f}
drag_area_m2 = {drag_area_m2:.3f}
regeneration_kw = {regeneration_kw:.2f}
[usage]
plan = {plan}
[periods]
cells_ms = 10000
temps_ms = 10000
"""
DRAWN = ("age_years", "ambient_c", "mass_kg", "drag_area_m2", "regeneration_kw")


@dataclass
class Drive:
    """x [windows, features] as `telltale features` tells them, NaN where there is none; end [windows] in seconds after
    the start."""

    name: str
    hours: float
    x: np.ndarray
    end: np.ndarray
    said: list  # of the rules: (subject, seconds after the start)


def drives(tool, work, recipe, part):
    """The clean drives of one part: `training`, `calibration` or `test`."""
    settings = recipe["drives"]
    parts = ["training", "calibration", "test"]
    first = sum(settings[p] for p in parts[: parts.index(part)])
    judged = part == "test"
    return [drive(tool, work, recipe, n, [], judged) for n in range(first, first + settings[part])]


def faulty(tool, work, recipe):
    """Drives of vehicles that the test part has, each with one fault. -> {kind: drives}"""
    settings, first = recipe["faults"], recipe["drives"]["training"] + recipe["drives"]["calibration"]
    onset = settings["onset_s"]
    return {
        kind: [drive(tool, work, recipe, first + n, [f"{kind}:onset={onset}"], True) for n in range(settings["vehicles"])]
        for kind in settings["kinds"]
    }


def drive(tool, work, recipe, number, faults, judged):
    settings = recipe["drives"]
    rng = np.random.default_rng(settings["seed"] + number)
    drawn = {name: rng.uniform(*settings[name]) for name in DRAWN}
    roads = settings["roads"][number % len(settings["roads"])]
    starts_often = number % settings["starts_often_every"] == 0 or any("low-voltage" in fault for fault in faults)
    plan = json.dumps(settings["short_trips"] if starts_often else roads)
    text = VEHICLE.format(hours=settings["hours"], faults=json.dumps(faults), plan=plan, **drawn)
    name = f"drive-{number}" + "".join("-" + fault.split(":")[0] for fault in faults)
    work.mkdir(parents=True, exist_ok=True)
    spec, log, table, said, stamp = (work / f"{name}.{end}" for end in ("toml", "log", "parquet", "json", "stamp"))
    spec.write_text(text)
    catalog, features, rules = alone(work), HERE / "features.toml", HERE / "condition.toml"
    made_by = fingerprint(tool, spec, catalog, features)
    if not (table.exists() and stamp.exists() and stamp.read_text() == made_by):
        run(tool, "simulate", "--seed", settings["seed"] + number, "--spec", spec, "-o", log)
        run(tool, "features", "--catalog", catalog, "--spec", features, log, "-o", table)
        stamp.write_text(made_by)
    by_rules = fingerprint(tool, spec, catalog, rules)
    if judged and not (said.exists() and json.loads(said.read_text()).get("made_by") == by_rules):
        if not log.exists():
            run(tool, "simulate", "--seed", settings["seed"] + number, "--spec", spec, "-o", log)
        told = json.loads(run(tool, "replay", "--catalog", catalog, "--condition", rules, "--json", log).splitlines()[-1])
        said.write_text(json.dumps({"made_by": by_rules, "events": told["events"], "trips": told["trips"]}))
    log.unlink(missing_ok=True)
    read = pyarrow.parquet.read_table(table)
    names = [n for n in read.column_names if n not in ("window", "end_us", "subject")]
    x = np.stack([read[n].to_numpy(zero_copy_only=False).astype(float) for n in names], 1)
    told = json.loads(said.read_text())["events"] if judged else []
    start = settings["start_unix_s"]
    return Drive(name, settings["hours"], x, read["end_us"].to_numpy() / 1e6 - start, [rule(e, start) for e in told])


def rule(event, start):
    """-> (subject, seconds after the start)"""
    at = datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp()
    return event["subject"], at - start


def alone(work):
    """The catalog in a folder without a model, so that a replay judges by the rules alone."""
    work.mkdir(parents=True, exist_ok=True)
    text = (HERE / "catalog-sim.toml").read_text()
    for dbc in ("../cell-fault/bms.dbc", "../../cross/sil/powertrain.dbc"):
        text = text.replace(f'"{dbc}"', json.dumps(str((HERE / dbc).resolve())))
    catalog = work / "catalog.toml"
    catalog.write_text(text)
    return catalog
