"""Recordings to rows. Bench recordings go onto CAN by `telltale encode` and come back as features by `telltale
features`, as the vehicle computes them; HUST and XJTU are features already."""

import csv
import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import spec

HERE = Path(__file__).parent
# The recordings of a battery's steps carry no date: they are laid one after another with a pause between.
START_S, PAUSE_S = 1_200_000_000, 1_800
# The split that the data's publishers use: whole cells.
HUST_TEST = "1-4 1-8 2-4 2-8 3-4 3-8 4-4 4-8 5-4 5-7 6-4 6-8 7-4 7-8 8-4 8-8 9-4 9-8 10-4 10-8".split()


@dataclass
class Cell:
    """One cell's charges in order: x [charges, features] with NaN where absent, y [charges] capacity / nominal."""

    name: str
    x: np.ndarray
    y: np.ndarray
    # Internal resistance by the jumps of the current, in ohms, [charges].
    resistance: np.ndarray
    # Steps that charge and have no label, each with its reason.
    left_out: list
    # What the resistance is held against, in ohms, [charges]; NaN where nothing tells it.
    reference: np.ndarray = None


def nasa(tool, data, work, recipe):
    """The batteries of the recipe, one Cell each."""
    work.mkdir(parents=True, exist_ok=True)
    raw = work / "features-raw.toml"
    raw.write_text(spec.document(recipe["charge"]))
    return [battery(tool, data / "nasa_battery" / f"{name}.parquet", work, raw, recipe) for name in recipe["nasa"]["batteries"]]


def battery(tool, path, work, raw, recipe):
    steps = read_steps(path)
    shown = computed(tool, path, steps, path.stem, work, raw)
    # A vehicle's charge begins from rest. The cycler pulls 3 to 4 A for two seconds before, within the grid's step.
    calm = computed(tool, path, [without_pulse(s) for s in steps], f"{path.stem}-calm", work, raw)
    return label(path.stem, steps, shown, calm, recipe)


def computed(tool, path, steps, name, work, raw):
    """-> the table of features that the vehicle's code computes of these steps"""
    log, table, stamp = (work / f"{name}.{end}" for end in ("log", "parquet", "stamp"))
    made_by = fingerprint(tool, path, raw, *(HERE / n for n in ("bench.dbc", "columns-bench.toml", "catalog-bench.toml")))
    if not (table.exists() and stamp.exists() and stamp.read_text() == made_by):
        write_csv(steps, work / f"{name}.csv")
        columns = ["--dbc", HERE / "bench.dbc", "--columns", HERE / "columns-bench.toml"]
        run(tool, "encode", *columns, work / f"{name}.csv", "-o", log)
        run(tool, "features", "--catalog", HERE / "catalog-bench.toml", "--spec", raw, log, "-o", table)
        (work / f"{name}.csv").unlink()
        log.unlink()
        stamp.write_text(made_by)
    return pa.parquet.read_table(table)


def pulse(step):
    """Where the cycler's test pulse before a charge is: one sample of a discharge, right before the charging current."""
    amps = step["current_a"][:3]
    return step["kind"] == "charge" and len(amps) == 3 and abs(amps[0]) < 0.1 and amps[1] < -1 and amps[2] > 1


def without_pulse(step):
    columns = ("t", "voltage_v", "current_a", "temperature_c")
    return step | {n: np.delete(step[n], 1) for n in columns} if pulse(step) else step


def pulse_ohm(step):
    """The resistance by that pulse: from its discharge to the charge after it, three seconds. NaN without one."""
    if not pulse(step):
        return np.nan
    (_, low, high), (_, out, into) = step["voltage_v"][:3], step["current_a"][:3]
    return (high - low) / (into - out)


def fingerprint(*files):
    """Of everything that decides a table: features are computed once for each tool."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()


def read_steps(path):
    """A battery's charges and discharges in order, with the seconds of each on one axis."""
    table = pa.parquet.read_table(path)
    column = {n: table[n].to_numpy(zero_copy_only=False) for n in table.column_names}
    at, steps = float(START_S), []
    for number in np.unique(column["step"]):
        rows = column["step"] == number
        t = column["time_s"][rows].astype(float)
        steps.append({
            "number": int(number), "kind": column["kind"][rows][0], "capacity_ah": float(column["capacity_ah"][rows][0]),
            "t": at + t - t[0],
            **{n: column[n][rows].astype(float) for n in ("voltage_v", "current_a", "temperature_c")},
        })
        at += t[-1] - t[0] + PAUSE_S
    return steps


def write_csv(steps, path):
    joined = {n: np.concatenate([s[n] for s in steps]) for n in ("t", "voltage_v", "current_a", "temperature_c")}
    joined["unix_s"] = joined.pop("t").round(3)
    for n in ("voltage_v", "current_a", "temperature_c"):
        joined[n] = joined[n].round(4)
    pa.csv.write_csv(pa.table(joined), path)


def label(name, steps, read, calm, recipe):
    """Joins each charge's features with the capacity that the discharge right after it gave, and its resistance in the
    recording without pulses with what the pulse says."""
    names = [n for n, _ in spec.features(recipe["charge"])]
    x = np.stack([read[n].to_numpy(zero_copy_only=False).astype(float) for n in names], 1)
    ohm = calm["resistance_ohm"].to_numpy(zero_copy_only=False).astype(float)
    ends, calm_ends = (table["end_us"].to_numpy() / 1e6 for table in (read, calm))
    count = spec.amounts(recipe["charge"])
    absent = x[:, count : 2 * count] == 0
    x[:, :count][absent] = np.nan
    rows, y, resistance, reference, left_out = [], [], [], [], []
    for place, step in enumerate(steps):
        if step["kind"] != "charge":
            continue
        after = next((s for s in steps[place + 1 :]), None)
        inside, calm_inside = (np.flatnonzero((at > step["t"][0]) & (at < step["t"][-1] + PAUSE_S)) for at in (ends, calm_ends))
        if after is None or after["kind"] != "discharge" or not np.isfinite(after["capacity_ah"]):
            left_out.append((step["number"], "no discharge after it that measured a capacity"))
        else:
            # A charge too short to be one stays in, with nothing to go by.
            rows.append(x[inside[-1]] if len(inside) else np.full(x.shape[1], np.nan))
            y.append(after["capacity_ah"] / recipe["charge"]["nominal_ah"])
            resistance.append(ohm[calm_inside[-1]] if len(calm_inside) else np.nan)
            reference.append(pulse_ohm(step))
    return Cell(name, np.array(rows), np.array(y), np.array(resistance), left_out, np.array(reference))


def run(tool, *arguments):
    subprocess.run([str(tool), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ready_made(data, which, recipe):
    """HUST or XJTU. -> (training cells, test cells)"""
    cells = []
    with tarfile.open(data / "soh_charge_features" / f"{which}.tar.gz") as archive:
        for member in sorted((m for m in archive if m.name.endswith(".csv")), key=lambda m: m.name):
            rows = csv.reader(io.TextIOWrapper(archive.extractfile(member)))
            next(rows)
            values = np.array([[float(v) if v else np.nan for v in row] for row in rows])
            x = recent(held(values[:, :16]), recipe["recent"])
            cells.append(Cell(Path(member.name).stem, x, values[:, 16] / recipe["nominal_ah"], np.array([]), []))
    is_test = {"hust": lambda n: n in HUST_TEST, "xjtu": lambda n: bool(set("48") & set(n.split("-")[-1]))}[which]
    return [c for c in cells if not is_test(c.name)], [c for c in cells if is_test(c.name)]


def held(x):
    """A feature that could not be computed keeps its last value; at the start its first."""
    x = np.where(np.isfinite(x), x, np.nan)
    for column in x.T:
        good = np.flatnonzero(~np.isnan(column))
        last = np.maximum.accumulate(np.where(np.isnan(column), good[0], np.arange(len(column))))
        column[:] = column[np.maximum(last, good[0])]
    return x


def recent(x, lengths):
    """Exponential means over the charges so far, of several lengths, side by side. Causal: a vehicle keeps one
    number a feature and length."""
    out = []
    for length in lengths:
        mean = np.empty_like(x)
        mean[0] = x[0]
        for n in range(1, len(x)):
            mean[n] = mean[n - 1] + max(1 / length, 1 / (n + 1)) * (x[n] - mean[n - 1])
        out.append(mean)
    return np.concatenate(out, 1)
