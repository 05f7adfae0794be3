"""Simulated packs to rows: `telltale simulate` drives them, `telltale features` reads the charge, and the truth is what
the simulator's ageing says (cross/sil/src/life.rs)."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet

HERE = Path(__file__).parent
# Behind this folder's own: both have an evaluate.
sys.path += [str(HERE.parent / "state-of-health"), str(HERE.parent)]

import data  # noqa: E402
import spec  # noqa: E402

CATALOG = HERE.parent / "cell-fault" / "catalog-sim.toml"
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


def make(tool, work, recipe, training=True):
    """-> (training packs, test packs), a Cell a pack with a row a cell and charge; without training packs where none
    are wanted"""
    work.mkdir(parents=True, exist_ok=True)
    raw = work / "features-raw.toml"
    raw.write_text(spec.document(recipe["charge"]))
    settings = recipe["packs"]
    rng = np.random.default_rng(2)
    drawn = [
        [rng.uniform(*settings[n]) for n in ("years", "cycles", "ambient_c", "begins_at")]
        for _ in range(settings["training"] + settings["test"])
    ]
    packs = [
        pack(tool, work, raw, recipe, seed, *values)
        for seed, values in enumerate(drawn) if training or seed >= settings["training"]
    ]
    return packs[: -settings["test"]], packs[-settings["test"] :]


def pack(tool, work, raw, recipe, seed, years, cycles, ambient, charge):
    settings = recipe["packs"]
    vehicle, log, table, stamp = (work / f"pack-{seed}.{end}" for end in ("toml", "log", "parquet", "stamp"))
    vehicle.write_text(VEHICLE.format(hours=settings["hours"], charge=charge, years=years, cycles=cycles, ambient=ambient))
    made_by = data.fingerprint(tool, vehicle, raw, CATALOG)
    if not (table.exists() and stamp.exists() and stamp.read_text() == made_by):
        data.run(tool, "simulate", "--seed", seed + 1, "--spec", vehicle, "-o", log)
        data.run(tool, "features", "--catalog", CATALOG, "--spec", raw, log, "-o", table)
        log.unlink()
        stamp.write_text(made_by)
    read = pyarrow.parquet.read_table(table)
    column = lambda name: read[name].to_numpy(zero_copy_only=False).astype(float)
    x = np.stack([column(name) for name, _ in spec.features(recipe["charge"])], 1)
    count = spec.amounts(recipe["charge"])
    x[:, :count][x[:, count : 2 * count] == 0] = np.nan
    fade = 0.02 * np.sqrt(years) + 1e-4 * cycles
    return data.Cell(f"pack-{seed}", x, np.full(len(x), 1 - fade), column("resistance_ohm"), [])
