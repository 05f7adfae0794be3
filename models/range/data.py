"""Simulated days to trips: `telltale simulate` drives, `telltale replay` says what each trip came to. The temperature is
the simulator's own; the BMS's bus does not tell it."""

import json
import sys
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CELLS = HERE.parent / "cell-fault"
sys.path.insert(0, str(HERE.parent))
from program import fingerprint, run  # noqa: E402

VEHICLE = """\
hours = {hours}
[thermal]
ambient_c = {ambient_c:.2f}
[vehicle]
mass_kg = {mass_kg:.1f}
drag_area_m2 = {drag_area_m2:.3f}
rolling = {rolling:.4f}
auxiliary_w = {auxiliary_w:.0f}
[usage]
urban = {roads[0]}
suburban = {roads[1]}
rural = {roads[2]}
motorway = {roads[3]}
[periods]
cells_ms = 10000
temps_ms = 10000
"""
DRAWN = ("ambient_c", "mass_kg", "drag_area_m2", "rolling", "auxiliary_w")
MILD_C = 20.0  # nobody heats or cools
SWING_K = 6.0  # of the simulated day, warmest at 15 o'clock


@dataclass
class Trips:
    """One vehicle's trips in order: km, wh (net), kmh (stops included), stops (per km), ambient_c."""

    name: str
    km: np.ndarray
    wh: np.ndarray
    kmh: np.ndarray
    stops: np.ndarray
    ambient_c: np.ndarray


def vehicles(tool, work, recipe):
    """-> (training, test)"""
    settings = recipe["drives"]
    work.mkdir(parents=True, exist_ok=True)
    every = [vehicle(tool, work, settings, n) for n in range(settings["training"] + settings["test"])]
    return every[: settings["training"]], every[settings["training"] :]


def vehicle(tool, work, settings, number):
    rng = np.random.default_rng(settings["seed"] + number)
    drawn = {name: rng.uniform(*settings[name]) for name in DRAWN}
    roads = roads_of(settings, number)
    spec, log, said = (work / f"vehicle-{number}.{end}" for end in ("toml", "log", "json"))
    spec.write_text(VEHICLE.format(hours=settings["hours"], roads=roads, **drawn))
    catalog = alone(work, "catalog-sim.toml")
    made_by = fingerprint(tool, spec, catalog)
    if not (said.exists() and json.loads(said.read_text())["made_by"] == made_by):
        run(tool, "simulate", "--seed", settings["seed"] + number, "--spec", spec, "-o", log)
        told = json.loads(run(tool, "replay", "--catalog", catalog, "--json", log).splitlines()[-1])
        log.unlink()
        said.write_text(json.dumps({"made_by": made_by, "trips": told["trips"]}))
    told = json.loads(said.read_text())["trips"]
    return trips(f"vehicle-{number}", told, lambda trip: ambient(trip, drawn["ambient_c"]))


def roads_of(settings, number):
    """The shares of a vehicle's driving time on urban, suburban, rural roads and motorways."""
    return settings["roads"][number % len(settings["roads"])]


def car(tool, work, folder):
    """A car in service for four weeks (87 cells), through CAN: the one real evidence. It tells no temperature outside."""
    csv, log = work / "car3.csv", work / "car3.log"
    with zipfile.ZipFile(folder / "ev_cell_faults" / "car3_processed.zip") as archive:
        csv.write_bytes(archive.read(archive.namelist()[0]))
    run(tool, "encode", "--dbc", CELLS / "bms.dbc", "--columns", CELLS / "columns-car3.toml", csv, "-o", log)
    told = json.loads(run(tool, "replay", "--catalog", alone(work, "catalog-car3.toml"), "--json", log).splitlines()[-1])
    csv.unlink(), log.unlink()
    return trips("car3", told["trips"], lambda trip: MILD_C)


def trips(name, told, ambient_of):
    """Of those that tell their energy and are a kilometre long."""
    told = [t for t in told if t["used_kwh"] is not None and t["distance_km"] >= 1]
    column = lambda of: np.array([of(t) for t in told], float)
    km = column(lambda t: t["distance_km"])
    return Trips(
        name, km, 1e3 * column(lambda t: t["used_kwh"] - t["recuperated_kwh"]),
        km / (column(lambda t: t["moving_s"] + t["standing_s"]) / 3600), column(lambda t: t["stops"]) / km, column(ambient_of),
    )


def ambient(trip, mean_c):
    """The air in the middle of a trip: coolest at 3 and warmest at 15 o'clock, by straight lines."""
    ends = [datetime.fromisoformat(trip[end].replace("Z", "+00:00")).timestamp() for end in ("from", "to")]
    off = abs(sum(ends) / 2 / 3600 % 24 - 15)
    return mean_c + SWING_K * (1 - min(off, 24 - off) / 6)


def alone(work, name):
    """A catalog of cell-fault in a folder without its model: trips need none."""
    catalog = work / name
    catalog.write_text((CELLS / name).read_text().replace('"bms.dbc"', json.dumps(str((CELLS / "bms.dbc").resolve()))))
    return catalog
