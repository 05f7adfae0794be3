"""The interval around what is foretold, as agent/core/src/range/interval.rs does it; and how its constants are chosen, on the
vehicles of the fit alone."""

import numpy as np

import consumption
from data import Trips

LARGEST = 2.0
SHARES = (0.005, 0.5)


def errors(taken, foretold):
    """Of each trip, the same for too much as for too little: 0.25 for 125 of 100 and for 80 of 100."""
    return np.minimum(np.maximum(taken / foretold, foretold / taken) - 1, LARGEST)


def widths(own, settings):
    """The width before each trip, by the errors of those before it. settings: as `[interval]` of range.toml."""
    prior = np.array(settings["errors"])
    each = settings["prior_trips"] / len(prior)
    outside, out = 1 - settings["coverage"], []
    for n, error in enumerate(own):
        past = own[max(0, n - settings["window"]) : n]
        values = np.concatenate([past, prior])
        order = np.argsort(values, kind="stable")
        sums = np.concatenate([np.ones(len(past)), np.full(len(prior), each)])[order].cumsum()
        enough = (1 - outside) * (len(past) + settings["prior_trips"]) - 1e-9
        out.append(values[order][min(np.searchsorted(sums, enough), len(values) - 1)])
        missed = float(error > out[-1])
        outside = np.clip(outside + settings["step"] * (1 - settings["coverage"] - missed), *SHARES)
    return np.array(out)


def half(widths):
    """The mean of both sides' widths, as a share of the value."""
    return (1 + widths - 1 / (1 + widths)) / 2


def held_out(vehicles, settings, folds):
    """For each vehicle: it, and the coefficients that were fitted on the other folds. -> pairs"""
    every = []
    for fold in range(folds):
        weights = consumption.fit([v for n, v in enumerate(vehicles) if n % folds != fold], settings)
        every += [(trips, weights) for trips in vehicles[fold::folds]]
    return every


def tuning(vehicles, settings, typical, interval):
    """Errors of tuning vehicles, by how much they are disturbed. Each is a vehicle that the coefficients were not fitted on,
    whose trips are drawn many times and then take more or less by chance: simulated trips differ from one another
    less than a driver's do, and a real vehicle must not have to be like the simulated ones for its interval to hold.
    -> {disturbance: errors [vehicles, trips]}"""
    rng = np.random.default_rng(interval["seed"])
    count, pairs = interval["tuning_trips"], held_out(vehicles, settings, interval["folds"])
    every = {}
    for disturbance in interval["disturbances"]:
        rows = []
        for trips, weights in pairs * interval["copies"]:
            n = rng.integers(0, len(trips.km), count)
            wh = trips.wh[n] * np.exp(disturbance * rng.standard_normal(count))
            drawn = Trips(trips.name, trips.km[n], wh, trips.kmh[n], trips.stops[n], trips.ambient_c[n])
            said, _ = consumption.foretold(weights, drawn, settings, typical)
            rows.append(errors(wh / drawn.km, said))
        every[disturbance] = np.array(rows)
    return every


def choose(vehicles, settings, typical, interval):
    """The narrowest of the recipe's candidates (by the mean width's logarithm, so that each disturbance counts alike) that
    hold what is meant: of all trips over all disturbances, and of each disturbance's from the sixth trip on. -> `[interval]`, what it came to on the tuning vehicles"""
    every = tuning(vehicles, settings, typical, interval)
    middles = (np.arange(interval["errors"]) + 0.5) / interval["errors"]
    prior = [round(float(e), 3) for e in np.quantile(np.concatenate([rows.ravel() for rows in every.values()]), middles)]
    best = None
    for window in interval["windows"]:
        for prior_trips in interval["prior_trips"]:
            for step in interval["steps"]:
                candidate = {"coverage": interval["coverage"], "window": window, "prior_trips": prior_trips, "step": step, "errors": prior}
                told = {d: np.array([widths(own, candidate) for own in rows]) for d, rows in every.items()}
                holds = {d: told[d] >= every[d] for d in every}
                width = float(np.mean([np.log(half(w).mean()) for w in told.values()]))
                fits = np.mean([h.mean() for h in holds.values()]) >= interval["coverage"] and all(
                    h[:, 5:].mean() >= interval["coverage"] for h in holds.values()
                )
                if fits and (best is None or width < best[0]):
                    by = {str(d): {"coverage": float(holds[d].mean()), "half_width": float(half(told[d]).mean())} for d in every}
                    best = width, candidate, by
    if best is None:
        raise SystemExit("no candidate of recipe.toml's [interval] holds what is meant on the tuning vehicles: give it more")
    return best[1:]


def wilson(held, count):
    """The 95 % interval of a share (Wilson, JASA 22, 1927)."""
    z, share = 1.96, held / count
    middle, off = share + z * z / (2 * count), z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return [float((middle + sign * off) / (1 + z * z / count)) for sign in (-1, 1)]
