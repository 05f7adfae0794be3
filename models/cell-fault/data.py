"""Recordings to training rows. Features come from the vehicle's own code: this file lays faults over the cell
voltages of a recording, has `telltale encode` put it onto CAN and `telltale features` read it back, and labels what
comes out."""

import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
PLAUSIBLE_V = (1.0, 5.0)  # as min and max in the catalogs


@dataclass
class Recording:
    """One car's CSV. volts is [rows, cells] in V with NaN where a cell reads nothing plausible."""

    table: pa.Table
    spec: dict
    seconds: np.ndarray
    volts: np.ndarray
    amps: np.ndarray
    level: np.ndarray

    @property
    def healthy(self):
        return np.setdiff1d(np.arange(self.volts.shape[1]), [c - 1 for c in self.spec["faulty_cells"]])

    @property
    def first_level_3(self):
        """When the BMS first said level 3, in seconds since 1970, or infinity."""
        at = np.flatnonzero(self.level == 3)
        return self.seconds[at[0]] if len(at) else np.inf


@dataclass
class Windows:
    """Features of a recording: x [windows, cells, features], present [windows, cells], end [windows] in seconds."""

    x: np.ndarray
    present: np.ndarray
    end: np.ndarray
    length: float


def read(path, spec):
    """Reads a car's zipped CSV. Its time column stays text, so that what is written back is what was read."""
    options = pa.csv.ConvertOptions(column_types={"tboxTime": pa.string()})
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        table = pa.csv.read_csv(file, convert_options=options)
    time = pc.strptime(table["tboxTime"], format="%Y-%m-%d %H:%M:%S", unit="s")
    cells = [name for name in table.column_names if name.startswith("V_")]
    volts = np.stack([column(table, name) for name in cells], 1)
    volts[(volts < PLAUSIBLE_V[0]) | (volts > PLAUSIBLE_V[1])] = np.nan
    amps = column(table, "BMSBatteryCurrent")
    amps[np.abs(amps) > 500] = np.nan
    seconds = time.to_numpy().astype("datetime64[s]").astype(np.int64)
    return Recording(table, spec, seconds, volts, amps, column(table, "BMSWarningInformation"))


def cars(folder, recipe):
    """Every car of the recipe, by name."""
    return {name: read(folder / "ev_cell_faults" / spec["recording"], spec) for name, spec in recipe["cars"].items()}


def column(table, name):
    return table[name].to_numpy().astype(float)


def features(tool, recording, work, name, volts=None):
    """Runs the vehicle's feature code over a recording, with other cell voltages if given. -> Windows"""
    csv, log, parquet = (work / f"{name}.{end}" for end in ("csv", "log", "parquet"))
    table = recording.table
    if volts is not None:
        for cell in range(volts.shape[1]):
            at = table.column_names.index(f"V_{cell + 1}")
            seen = np.isnan(volts[:, cell])
            new = np.where(seen, column(table, f"V_{cell + 1}"), np.round(volts[:, cell], 3))
            table = table.set_column(at, f"V_{cell + 1}", pa.array(new))
    pa.csv.write_csv(table, csv, pa.csv.WriteOptions(quoting_style="none"))
    spec = recording.spec
    columns, catalog = HERE / spec["columns"], HERE / spec["catalog"]
    run(tool, "encode", "--dbc", HERE / "bms.dbc", "--columns", columns, csv, "-o", log)
    run(tool, "features", "--catalog", catalog, "--spec", HERE / "features.toml", log, "-o", parquet)
    windows = load(parquet, recording.volts.shape[1])
    for path in (csv, log):
        path.unlink()
    return windows


def run(tool, *arguments):
    subprocess.run([str(tool), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def load(parquet, cells):
    """Reads the table of `telltale features`: a row a window and subject (from 1); features are null where the
    vehicle would be indeterminate."""
    table = pa.parquet.read_table(parquet)
    names = [n for n in table.column_names if n not in ("window", "end_us", "subject")]
    subject = table["subject"].to_numpy().astype(int) - 1
    _, first, window = np.unique(table["window"].to_numpy(), return_index=True, return_inverse=True)
    x = np.full((len(first), cells, len(names)), np.nan, np.float32)
    for place, name in enumerate(names):
        x[window, subject, place] = table[name].to_numpy(zero_copy_only=False)
    present = ~np.isnan(x).any(2)
    end = table["end_us"].to_numpy()[first] / 1e6
    spec = tomllib.loads((HERE / "features.toml").read_text())
    return Windows(np.nan_to_num(x), present, end, spec["period_s"] * spec["window"])


def level_in(recording, windows):
    """The highest warning level of the rows in each window."""
    last = np.searchsorted(recording.seconds, windows.end, "left")
    first = np.searchsorted(recording.seconds, windows.end - windows.length, "left")
    return np.array([recording.level[a:b].max(initial=0) for a, b in zip(first, last)])


def training(recording, windows):
    """Which windows a car gives to training, by its rule in the recipe."""
    if recording.spec["train"] == "before-first-level-3":
        return windows.end < recording.first_level_3
    return level_in(recording, windows) == 0
