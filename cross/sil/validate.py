"""Holds the simulated vehicle against two real cars: the same quantities from both, their distances, and a plot.

Real: the recordings of BatICM/unsupervised-battery-faults, which are not part of this repository (rows of 10 s or 30 s
of every cell's voltage). Simulated: `telltale simulate --spec validation.toml`, read from its CAN frames and put into
rows as a telematics unit does: every ten seconds what was heard last. VALIDATION.md states the command.
"""

import argparse
import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import ks_2samp, wasserstein_distance

HERE = Path(__file__).parent
FAULTY = {"car2": [82], "car3": [2, 81]}  # cells that are broken, left out
CELLS, PROBES, PERIOD_S = 96, 24, 10
SEEDS = (1, 2, 3)


class Rows:
    """A recording as rows: t [s], amps (discharge positive), soc [%], kmh, volts [rows, cells] in V, celsius [rows, probes]."""

    def __init__(self, t, amps, soc, kmh, volts, celsius, pack_v):
        self.t, self.amps, self.soc, self.kmh, self.volts, self.celsius = t, amps, soc, kmh, volts, celsius
        self.pack_v = pack_v
        self.level = np.nanmedian(volts, 1)
        gap = np.diff(t, prepend=t[0])
        self.trip = np.cumsum(gap > 300)
        self.driving = (kmh > 1) & (kmh < 300)
        self.charging = (kmh == 0) & (amps < -5)
        self.idle = (kmh == 0) & (np.abs(amps) <= 5)


def real(folder, car):
    archive = zipfile.ZipFile(folder / "ev_cell_faults" / f"{car}_processed.zip")
    frame = pd.read_csv(io.BytesIO(archive.read(f"{car}_processed.csv")), parse_dates=["tboxTime"])
    cells = [c for c in frame.columns if c.startswith("V_") and int(c[2:]) not in FAULTY[car]]
    volts = frame[cells].to_numpy(float).copy()
    volts[(volts < 1) | (volts > 5)] = np.nan
    celsius = frame[[c for c in frame.columns if c.startswith("T_")]].to_numpy(float) - 40
    celsius[(celsius < -39) | (celsius > 100)] = np.nan
    celsius = celsius[:, ~np.isnan(celsius).all(0)]
    amps = frame.BMSBatteryCurrent.to_numpy(float).copy()
    amps[np.abs(amps) > 150] = np.nan
    t = (frame.tboxTime - frame.tboxTime.iloc[0]).dt.total_seconds().to_numpy()
    pack_v = frame.BMSBatteryVoltage.to_numpy(float) / (88 if car == "car2" else 87)
    return Rows(t, amps, frame.vehBMSPackSOC.to_numpy(float), frame.vehSpeed.to_numpy(float), volts, celsius, pack_v)


def simulated(tool, spec, seed, hours):
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "sim.log"
        line = [tool, "simulate", "--spec", spec, "--seed", str(seed), "--hours", str(hours), "-o", log]
        subprocess.run([str(word) for word in line], check=True, stderr=subprocess.DEVNULL)
        words = pd.read_csv(log, sep=" ", header=None, names=["t", "bus", "frame"])
    t = words.t.str[1:-1].astype(float).to_numpy()
    identifier = words.frame.str[:3].map(lambda text: int(text, 16)).to_numpy()
    data = np.array([bytes.fromhex(text) for text in words.frame.str[4:20]], "S8").view(np.uint8).reshape(-1, 8)
    return t - t[0], identifier, data


def rows(t, identifier, data):
    """What was heard last, every ten seconds of a bus that is awake."""
    starts = np.flatnonzero(np.diff(t, prepend=-1e9) > 60)
    grid = np.concatenate([np.arange(t[a] + PERIOD_S, t[b - 1], PERIOD_S) for a, b in zip(starts, [*starts[1:], len(t)])])

    def latest(wanted, decode, width):
        at = np.flatnonzero(identifier == wanted)
        values = decode(data[at]).reshape(len(at), width)
        place = np.searchsorted(t[at], grid, "right") - 1
        value = values[np.maximum(place, 0)].astype(float)
        value[place < 0] = np.nan
        return value

    word = lambda d, k, kind="<u2": d[:, 2 * k : 2 * k + 2].copy().view(kind)[:, 0]
    pack = latest(0x180, lambda d: np.stack([word(d, 0) * 0.1, word(d, 1, "<i2") * 0.1, d[:, 4] * 0.5], 1), 3)
    kmh = latest(0x181, lambda d: word(d, 0) * 0.1, 1)[:, 0]
    volts = np.hstack([latest(0x1A0 + k, lambda d: d.copy().view("<u2") * 0.001, 4) for k in range(CELLS // 4)])
    celsius = np.hstack([latest(0x190 + k, lambda d: d.astype(float) - 40, 8) for k in range(PROBES // 8)])
    heard = ~np.isnan(volts).any(1) & ~np.isnan(celsius).any(1)
    cut = lambda value: value[heard]
    return Rows(*map(cut, (grid, pack[:, 1], pack[:, 2], kmh, volts, celsius, pack[:, 0] / CELLS)))


def joined(parts):
    """Several seeds as one recording, a day apart."""
    offset, times = 0.0, []
    for part in parts:
        times.append(part.t + offset)
        offset = times[-1][-1] + 86_400
    stack = lambda name: np.concatenate([getattr(part, name) for part in parts])
    return Rows(np.concatenate(times), *(stack(n) for n in ("amps", "soc", "kmh", "volts", "celsius", "pack_v")))


def quantities(r):
    """The samples that are compared: name -> (unit, array)."""
    spread = np.nanstd(r.volts, 1) * 1000
    finite = lambda x: x[np.isfinite(x)]
    rested = np.zeros(len(r.t))
    calm = (r.kmh == 0) & (np.abs(r.amps) <= 1)
    step = np.diff(r.t, prepend=r.t[0])
    for k in range(1, len(r.t)):
        rested[k] = rested[k - 1] + step[k] if calm[k] and calm[k - 1] and step[k] < 120 else 0
    at_rest = rested > 180
    d_amps, d_volts = np.diff(r.amps), np.diff(r.pack_v)
    loaded = (step[1:] < 61) & (np.abs(d_amps) > 20) & r.driving[1:]
    slopes, charge_slopes = [], []
    middle = np.nanmedian(r.celsius, 1)
    for trip in np.unique(r.trip):
        here = np.flatnonzero(r.trip == trip)
        for regime, out in ((r.driving | r.idle, slopes), (r.charging, charge_slopes)):
            at = here[regime[here]]
            if len(at) > 10 and r.t[at[-1]] - r.t[at[0]] > 1200:
                hours = (r.t[at] - r.t[at[0]]) / 3600
                out.append(np.polyfit(hours, middle[at], 1)[0])
    return {
        "current while driving": ("A", finite(r.amps[r.driving])),
        "current while charging": ("A", finite(r.amps[r.charging])),
        "speed while driving": ("km/h", r.kmh[r.driving]),
        "spread of cells while driving": ("mV", finite(spread[r.driving])),
        "spread of cells while charging": ("mV", finite(spread[r.charging])),
        "spread of cells while standing": ("mV", finite(spread[r.idle])),
        "resistance of a cell, by steps of the current": ("mOhm", finite(-d_volts[loaded] / d_amps[loaded] * 1000)),
        "temperature spread in the pack": ("K", finite(np.nanmax(r.celsius, 1) - np.nanmin(r.celsius, 1))),
        "temperature rise of a trip": ("K/h", np.array(slopes)),
        "temperature rise of a charge": ("K/h", np.array(charge_slopes)),
        "state of charge": ("%", r.soc[(r.soc >= 0) & (r.soc <= 100)]),
    }, (r.soc[at_rest], r.level[at_rest])


def curve(rest):
    """Median open-circuit voltage by steps of 5 % of charge."""
    soc, volts = rest
    steps = np.arange(20, 100, 5)
    inside = [volts[(soc >= lo) & (soc < lo + 5)] for lo in steps]
    return steps + 2.5, np.array([np.median(v) if len(v) > 5 else np.nan for v in inside])


def clipped(samples):
    """Without the outermost half percent on either side, which sentinels and one-off faults fill."""
    low, high = np.percentile(samples, [0.5, 99.5])
    return samples[(samples >= low) & (samples <= high)]


def table(sim, cars):
    lines = ["| quantity | unit | simulated: median (10-90 %) | " + " | ".join(f"{c}: median (10-90 %), KS, Wasserstein" for c in cars) + " |",
             "|---|---|---|" + "---|" * len(cars)]
    middle = lambda x: "{1:.1f} ({0:.1f} to {2:.1f})".format(*np.percentile(x, [10, 50, 90])) if len(x) else "-"
    for name, (unit, s) in sim[0].items():
        cells = []
        for car in cars.values():
            x = car[0][name][1]
            if len(x) < 4 or len(s) < 4:
                cells.append("not recorded")
                continue
            ks, w = ks_2samp(s, x).statistic, wasserstein_distance(clipped(s), clipped(x))
            cells.append(f"{middle(x)}, {ks:.2f}, {w:.1f}")
        lines.append(f"| {name} | {unit} | {middle(s)} | " + " | ".join(cells) + " |")
    steps, ours = curve(sim[1])
    cells = []
    for car in cars.values():
        apart = np.abs(curve(car[1])[1] - ours) * 1000
        cells.append(f"{np.nanmean(apart):.0f} mean, {np.nanmax(apart):.0f} at most")
    lines.append("| open-circuit voltage by state of charge, apart | mV | - | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(sim, cars, path):
    figure, axes = plt.subplots(3, 4, figsize=(16, 10), constrained_layout=True)
    colours = {"simulated": "#111111", "car3": "#d1495b", "car2": "#2e86ab"}
    everyone = {"simulated": sim, **cars}
    for axis, name in zip(axes.flat, sim[0]):
        unit = sim[0][name][0]
        pool = np.concatenate([clipped(who[0][name][1]) for who in everyone.values() if len(who[0][name][1]) > 3])
        bins = np.linspace(pool.min(), pool.max(), 45)
        for label, who in everyone.items():
            samples = who[0][name][1]
            if len(samples) > 3:
                axis.hist(samples, bins, density=True, histtype="step", lw=1.6, color=colours[label], label=label)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(unit)
        axis.set_yticks([])
    last = axes.flat[len(sim[0])]
    for label, who in everyone.items():
        last.plot(*curve(who[1]), "o-", color=colours[label], label=label, ms=3)
    last.set_title("open-circuit voltage after three minutes of rest", fontsize=9)
    last.set_xlabel("state of charge, %")
    last.set_ylabel("V")
    last.legend()
    figure.suptitle("Simulated vehicle (validation.toml) and two cars in service (BatICM, MIT; Nie et al. 2025)")
    figure.savefig(path, dpi=75)


def kona(folder):
    """Time [s], bus and identifier of every frame of the Kona's log."""
    log = pd.read_csv(folder / "kona_ev_can" / "230112-7-2019-pcan-ccan-power-off-on-ready-off.csv", usecols=[0, 1, 3], names=["t", "id", "bus"], header=0)
    return log.t.to_numpy() / 1e6, log.bus.to_numpy(), log.id.to_numpy()


def both_buses(tool):
    """The same of three simulated minutes."""
    line = [str(tool), "simulate", "--hours", "0.05", "--powertrain", "can1"]
    text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    words = pd.read_csv(io.StringIO(text), sep=" ", header=None, names=["t", "bus", "frame"])
    return words.t.str[1:-1].astype(float).to_numpy(), words.bus.to_numpy(), words.frame.str[:3].to_numpy()


def timing(t, bus, identifier):
    """What a bus does: name -> frames a second, identifiers, and how far periods scatter (10-90 % over the median)."""
    lines = {}
    for name in np.unique(bus):
        on = bus == name
        periods = []
        for one in np.unique(identifier[on]):
            gaps = np.diff(t[on & (identifier == one)])
            if len(gaps) > 50 and np.median(gaps) > 0:
                low, middle, high = np.percentile(gaps, [10, 50, 90])
                periods.append((middle, (high - low) / middle))
        span = t[on].max() - t[on].min()
        middle = np.array(periods)
        lines[str(name)] = (f"{on.sum() / span:.0f}", f"{len(np.unique(identifier[on]))}",
                            f"{middle[:, 0].min() * 1000:.0f} to {middle[:, 0].max() * 1000:.0f}", f"{np.median(middle[:, 1]) * 100:.1f} %")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--telltale", default="target/debug/telltale")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds ev_cell_faults/")
    parser.add_argument("--spec", type=Path, default=HERE / "validation.toml")
    parser.add_argument("--hours", type=float, default=168)
    parser.add_argument("--plot", type=Path, default=HERE / "validation.png")
    args = parser.parse_args()
    runs = [rows(*simulated(args.telltale, args.spec, seed, args.hours)) for seed in SEEDS]
    sim = quantities(joined(runs))
    cars = {car: quantities(real(args.data, car)) for car in ("car3", "car2")}
    print(table(sim, cars))
    print("\n| bus | frames a second | identifiers | periods, ms | scatter of a period, median |\n|---|---|---|---|---|")
    for who, log in (("Kona", kona(args.data)), ("simulated", both_buses(args.telltale))):
        for bus, cells in timing(*log).items():
            print(f"| {who} {bus} | " + " | ".join(cells) + " |")
    plot(sim, cars, args.plot)


if __name__ == "__main__":
    main()
