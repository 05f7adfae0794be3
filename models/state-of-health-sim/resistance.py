"""The resistance that the vehicle tells beside the simulator's own circuit, by temperature and age: charges of packs that nothing
is trained on, judged by `telltale replay` as a vehicle judges them."""

import json
from pathlib import Path

import numpy as np

import packs  # finds the folders of the modules that models share
import card
import program

HERE = Path(__file__).parent
CATALOG = packs.CATALOG
VEHICLE = """\
hours = {hours}
[pack]
charge = {begins_at}
age_years = {years}
cycles = {cycles}
[thermal]
ambient_c = {ambient_c}
swing_k = 0.0
[usage]
plan = ["idle:{idle_s}", "dc-charge", "idle:900", "park:86400"]
[periods]
pack_ms = 1000
cells_ms = 5000
"""


def figures(tool, work, recipe):
    """Errors are shares of the cell's resistance over pulses of the recipe's lengths, place by place over its first. -> a dict"""
    settings = recipe["resistance"]
    places = [(ambient, years) for ambient in settings["ambient_c"] for years in settings["years"]]
    each = [pack(tool, work, settings, n, *place) for n, place in enumerate(places)]
    told, truth = (np.concatenate(values, -1) for values in zip(*each))
    there = np.isfinite(told)
    return {
        "pulse_s": settings["pulse_s"], "errors": [errors(told, of) for of in truth],
        "correlation": float(np.corrcoef(told[there], truth[0][there])[0, 1]),
        "by": [{"ambient_c": a, "years": y, **errors(told, of[0])} for (a, y), (told, of) in zip(places, each)],
    }


def pack(tool, work, settings, number, ambient_c, years):
    """-> ohms told [cells], NaN where none was, and true [pulses, cells]"""
    vehicle, log, cells = (work / f"resistance.{end}" for end in ("toml", "log", "json"))
    # Where in a step of the grid the plug goes in differs from pack to pack.
    drawn = {"ambient_c": ambient_c, "years": years, "cycles": settings["cycles_a_year"] * years, "idle_s": 900 + 3 * number % 10}
    vehicle.write_text(VEHICLE.format(**drawn, hours=settings["hours"], begins_at=settings["begins_at"]))
    program.run(tool, "simulate", "--seed", 700 + number, "--spec", vehicle, "--cells", cells, "-o", log)
    said = program.run(tool, "replay", "--catalog", CATALOG, "--model", HERE, "--json", log)
    log.unlink()
    subjects = {s["subject"]: s["resistance_ohm"] for told in json.loads(said.splitlines()[-1])["estimates"] for s in told["subjects"]}
    truth = json.loads(cells.read_text())
    told = np.array([subjects.get(cell["cell"]) for cell in truth], float)
    return told, np.array([[pulse(cell, seconds) for cell in truth] for seconds in settings["pulse_s"]])


def pulse(cell, seconds):
    """A cell's resistance over a pulse of so many seconds, in ohms, by its circuit."""
    return cell["ohmic_ohm"] + sum(pair["ohm"] * (1 - np.exp(-seconds / pair["tau_s"])) for pair in cell["pairs"])


def errors(told, truth):
    there = np.isfinite(told)
    if not there.any():
        return {"n": 0}
    error = told[there] / truth[there] - 1
    low, middle, high = np.quantile(error, [0.05, 0.5, 0.95])
    return {"n": int(there.sum()), "median": float(middle), "range_90": [float(low), float(high)], "rms": float(np.sqrt((error**2).mean()))}


def table(found):
    """The card's table: a row a temperature, a column an age."""
    years = sorted({of["years"] for of in found["by"]})
    cell = lambda of: "none" if not of["n"] else f"{of['median'] * 100:+.1f} ({of['range_90'][0] * 100:+.1f} to {of['range_90'][1] * 100:+.1f}), {of['n']}"
    lines = []
    for ambient in sorted({of["ambient_c"] for of in found["by"]}):
        lines.append([f"{ambient:.0f} degrees", *(cell(of) for of in found["by"] if of["ambient_c"] == ambient)])
    return card.rows(["error in %: median (nine tenths), cells", *("new" if y == 0 else f"{y:.0f} years" for y in years)], *lines)
