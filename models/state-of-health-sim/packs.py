"""Simulated packs to rows: `telltale simulate` drives them, `telltale features` reads the charge, and the truth is what
the simulator's ageing says (cross/sil/src/life.rs)."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "state-of-health"))

import data  # noqa: E402
import spec  # noqa: E402

# Cells are told apart by everything but their capacity, so that the truth is one number a pack.
VEHICLE = """\
hours = {hours}
[pack]
charge = {charge:.4f}
capacity_spread = 0.0
age_years = {years:.4f}
cycles = {cycles:.2f}
[thermal]
ambient_c = {ambient:.2f}
[usage]
plan = ["idle:900", "dc-charge", "idle:900", "park:86400"]
[periods]
pack_ms = 1000
cells_ms = 5000
"""


def make(tool, work, recipe):
    """-> (training packs, test packs), a Cell a pack with a row a cell and charge"""
    work.mkdir(parents=True, exist_ok=True)
    raw = work / "features-raw.toml"
    raw.write_text(spec.document(recipe["charge"]))
    settings = recipe["packs"]
    rng = np.random.default_rng(2)
    packs = [pack(tool, work, raw, recipe, seed, rng) for seed in range(settings["training"] + settings["test"])]
    return packs[: settings["training"]], packs[settings["training"] :]


def pack(tool, work, raw, recipe, seed, rng):
    settings = recipe["packs"]
    years, cycles, ambient, charge = (rng.uniform(*settings[n]) for n in ("years", "cycles", "ambient_c", "begins_at"))
    vehicle, log, table, stamp = (work / f"pack-{seed}.{end}" for end in ("toml", "log", "parquet", "stamp"))
    vehicle.write_text(VEHICLE.format(hours=settings["hours"], charge=charge, years=years, cycles=cycles, ambient=ambient))
    catalog = HERE.parent / "cell-fault" / "catalog-sim.toml"
    made_by = data.fingerprint(tool, vehicle, raw, catalog)
    if not (table.exists() and stamp.exists() and stamp.read_text() == made_by):
        data.run(tool, "simulate", "--seed", seed + 1, "--spec", vehicle, "-o", log)
        data.run(tool, "features", "--catalog", catalog, "--spec", raw, log, "-o", table)
        log.unlink()
        stamp.write_text(made_by)
    read = pyarrow.parquet.read_table(table)
    column = lambda name: read[name].to_numpy(zero_copy_only=False).astype(float)
    x = np.stack([column(name) for name, _ in spec.features(recipe["charge"])], 1)
    count = spec.amounts(recipe["charge"])
    x[:, :count][x[:, count : 2 * count] == 0] = np.nan
    truth = 1 - (0.02 * np.sqrt(years) + 1e-4 * cycles)
    return data.Cell(f"pack-{seed}", x, np.full(len(x), truth), column("resistance_ohm"), [])
