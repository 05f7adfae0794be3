"""Faults laid over recorded cell voltages. Blocks of time each get a few faulty cells; some copies also shift runs of
cells, as modules of another age or temperature do, which is no fault and must not be taken for one."""

from dataclasses import dataclass

import numpy as np

STEP_S = 30  # noise keeps its value for a step of the features' grid, so that averaging does not remove it


@dataclass
class Faulted:
    """A copy of a recording. error is [rows, cells] in V, block [rows]; faulty and healthy [blocks, n] are cells."""

    volts: np.ndarray
    error: np.ndarray
    block: np.ndarray
    faulty: np.ndarray
    healthy: np.ndarray
    minimum: np.ndarray


def lay(recording, recipe, imbalance, rng):
    """A faulted copy of a recording. minimum is the least error in V that counts as a fault, a block each."""
    cells = recording.volts.shape[1]
    _, block = np.unique(recording.seconds // recipe["block_s"], return_inverse=True)
    starts = np.searchsorted(block, np.arange(block.max() + 2))
    volts, error = recording.volts.copy(), np.zeros_like(recording.volts)
    chosen = recipe["cells"] + recipe["healthy_cells"]
    picks = np.stack([rng.choice(recording.healthy, chosen, replace=False) for _ in starts[:-1]])
    minimum = np.zeros(len(picks))
    for n, (a, b) in enumerate(zip(starts, starts[1:])):
        if imbalance and rng.random() < recipe["imbalance_share"]:
            volts[a:b] += unbalance(cells, recipe, rng)
        minimum[n] = least_fault(volts[a:b], recipe)
        for cell in picks[n, : recipe["cells"]]:
            rows = volts[a:b, cell], recording.amps[a:b], recording.seconds[a:b]
            error[a:b, cell] = fault(*rows, minimum[n], recipe, rng)
    faulty, healthy = np.split(picks, [recipe["cells"]], 1)
    return Faulted(volts + error, error, block, faulty, healthy, minimum)


def unbalance(cells, recipe, rng):
    """A run of cells stands apart from the others. -> [cells] in V"""
    size = rng.uniform(0, recipe["imbalance_mv"] * 1e-3)
    first, last = np.sort(rng.integers(0, cells, 2))
    run = (np.arange(cells) >= first) & (np.arange(cells) < last)
    return size * (run * rng.choice([-1, 1]) + rng.normal(0, recipe["imbalance_noise"], cells))


def least_fault(volts, recipe):
    """The smallest error that is worth a verdict in this pack, in V: it grows with the spread of its cells."""
    if np.isnan(volts).all(0).any():
        return recipe["minimum_mv"] * 1e-3
    middle = np.nanmedian(volts - np.nanmedian(volts, 1, keepdims=True), 0)
    spread = np.median(np.abs(middle - np.median(middle))) * 1e3
    beyond = max(spread - recipe["free_spread_mv"], 0)
    return (recipe["minimum_mv"] + recipe["minimum_per_spread"] * beyond) * 1e-3


def fault(volts, amps, seconds, minimum, recipe, rng):
    """One fault of a random kind and size. -> [rows] error in V"""
    kind = rng.choice(list(recipe["kinds"]), p=list(recipe["kinds"].values()))
    size = minimum * np.exp(rng.uniform(0, np.log(recipe["largest"])))
    ramp = (seconds - seconds[0]) / max(seconds[-1] - seconds[0], 1) * 2 - 1
    if kind == "offset":
        return np.full(len(volts), -size)
    if kind == "drift":
        return -size * (1 + rng.uniform(-0.9, 0.9) * ramp)
    if kind == "resistance":
        return -rng.uniform(*recipe["resistance_ohm"]) * np.nan_to_num(amps) - rng.uniform(0, 0.6) * size
    if kind == "noise":
        steps = (seconds - seconds[0]) // STEP_S
        return rng.normal(0, size, steps[-1] + 1)[steps]
    good = np.flatnonzero(~np.isnan(volts))
    return np.nan_to_num(volts[good[0]] - volts) if len(good) else np.zeros(len(volts))


def rows(recording, copy, windows, keep):
    """Labelled rows of a faulted copy: (features, label). Only windows inside one block and `keep` count; a faulty
    cell counts where the error is at least the block's minimum for a quarter of the window."""
    out_x, out_y = [], []
    first = np.searchsorted(recording.seconds, windows.end - windows.length, "left")
    last = np.searchsorted(recording.seconds, windows.end, "left")
    for n in np.flatnonzero(keep & (last > first)):
        a, b = first[n], last[n]
        block = copy.block[a]
        if copy.block[b - 1] != block:
            continue
        bad, good = copy.faulty[block], copy.healthy[block]
        reach = np.quantile(np.abs(copy.error[a:b, bad]), 0.75, 0) >= 0.95 * copy.minimum[block]
        bad = bad[reach & windows.present[n, bad]]
        good = good[windows.present[n, good]]
        out_x += [windows.x[n, bad], windows.x[n, good]]
        out_y += [np.ones(len(bad)), np.zeros(len(good))]
    return np.concatenate(out_x), np.concatenate(out_y)
