"""The linear model, how it follows one vehicle, and what it is held against. As agent/core/src/range does it."""

import numpy as np

NAMES = ("constant", "per_hour", "speed", "speed_square", "stops", "cold", "hot")
PRIOR_KM = 10.0
LEAST_WH = 30.0


def design(kmh, stops, ambient_c, vehicle):
    v = np.maximum(kmh, 3.0)
    cold, hot = np.maximum(vehicle["mild_from"] - ambient_c, 0), np.maximum(ambient_c - vehicle["mild_to"], 0)
    return np.stack([np.ones_like(v), 1 / v, v, v * v, stops, cold / v, hot / v], -1)


def fit(vehicles, settings):
    """Least squares over all trips, each weighed by its kilometres. -> weights in the order of NAMES"""
    join = lambda of: np.concatenate([of(t) for t in vehicles])
    x = design(join(lambda t: t.kmh), join(lambda t: t.stops), join(lambda t: t.ambient_c), settings)
    y, w = join(lambda t: t.wh / t.km), np.sqrt(join(lambda t: t.km))
    scale = np.abs(x).mean(0) + 1e-9
    return np.linalg.lstsq(x / scale * w[:, None], y * w, rcond=None)[0] / scale


def roads(vehicles, shares):
    """How each road is driven: a vehicle's mean speed and its stops an hour are those of its roads, by their shares of its
    time; least squares, weighed by hours, nothing below 0. -> [(km/h, stops per km)] in the order of the shares"""
    hours = np.array([(t.km / t.kmh).sum() for t in vehicles])
    of = lambda sums: nonnegative(np.array(shares), np.array(sums) / hours, np.sqrt(hours))
    kmh = of([t.km.sum() for t in vehicles])
    return list(zip(kmh, of([(t.stops * t.km).sum() for t in vehicles]) / kmh))


def nonnegative(x, y, w):
    """Least squares, where what would be negative is 0."""
    free = list(range(x.shape[1]))
    while True:
        found = np.linalg.lstsq(x[:, free] * w[:, None], y * w, rcond=None)[0]
        if (found >= 0).all():
            out = np.zeros(x.shape[1])
            out[free] = found
            return out
        free.pop(int(found.argmin()))


def by_model(weights, kmh, stops, ambient_c, settings):
    return np.maximum(design(np.asarray(kmh), np.asarray(stops), np.asarray(ambient_c), settings) @ weights, LEAST_WH)


def foretold(weights, trips, settings, typical, most=16):
    """Wh/km of each trip as the vehicle foretells it before, from the trips before it and the temperature outside now.
    The road ahead is taken to be like the recent ones. -> wh/km [trips], how many trips were known [trips]"""
    out = []
    for n in range(len(trips.km)):
        past = slice(max(0, n - most), n)
        km = trips.km[past].sum()
        kmh = km / (trips.km[past] / trips.kmh[past]).sum() if km else typical["kmh"]
        stops = (trips.stops[past] * trips.km[past]).sum() / km if km else typical["stops_per_km"]
        ambient = trips.ambient_c[n]
        plain = by_model(weights, kmh, stops, ambient, settings)
        then = by_model(weights, trips.kmh[past], trips.stops[past], trips.ambient_c[past], settings)
        prior = PRIOR_KM * plain
        out.append(plain * (trips.wh[past].sum() + prior) / ((then * trips.km[past]).sum() + prior))
    return np.array(out), np.minimum(np.arange(len(trips.km)), most)


def last_ten_km(trips, rated):
    """The usual dashboard: what the last ten kilometres took; the rated value before there are any."""
    out, km, wh = [], 0.0, 0.0
    for n in range(len(trips.km)):
        km = wh = 0.0
        for k in range(n - 1, -1, -1):
            part = min(1.0, (10.0 - km) / trips.km[k])
            km, wh = km + part * trips.km[k], wh + part * trips.wh[k]
            if km >= 10.0 - 1e-9:
                break
        out.append(wh / km if km else rated)
    return np.array(out)
