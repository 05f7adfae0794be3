"""One cell type's model: from the features of charges to a state of health, with windows that may be missing; its
training, its int8 twin and the width of its interval. Everything is fitted on the cells that it is given."""

from dataclasses import dataclass

import numpy as np

import network  # finds the folder of the modules that all models share
import spec
import int8


@dataclass
class Fitted:
    """A model as fitted: params in f32, layers in int8, the linear baseline, and the two normalisers."""

    offset: np.ndarray
    scale: np.ndarray
    level: float
    spread: float
    params: list
    layers: list
    linear: list
    charge: dict
    quantize: dict

    def inputs(self, x):
        """x [rows, features] in physical units, NaN where absent -> as the vehicle gives it to the network"""
        count = spec.amounts(self.charge)
        x = x.copy()
        x[:, count : 2 * count] = ~np.isnan(x[:, :count])
        scaled = np.clip((x - self.offset) / self.scale, -self.charge["clip"], self.charge["clip"])
        return np.nan_to_num(scaled).astype(np.float32)

    def predict(self, x, kind="int8"):
        """-> state of health [rows], a share of the nominal capacity"""
        x = self.inputs(x)
        if kind == "int8":
            limit = self.quantize
            q = int8.integers(self.layers, int8.quantise_input(x, limit["input_limit"] / 127))
            z = q[:, 0].astype(np.float32) * np.float32(limit["output_limit"] / 127)
        else:
            z = network.output(self.params if kind == "f32" else self.linear, x)
        return self.level + self.spread * z


def fit(cells, recipe, candidate):
    """-> Fitted, on the rows of these cells"""
    charge, settings = recipe["charge"], recipe["fit"]
    x, y, weight, is_whole = rows(cells, charge, settings["copies"])
    model = Fitted(*normaliser(np.concatenate([c.x for c in cells]), charge), y.mean(), y.std(), [], [], [], charge, recipe["quantize"])
    inputs, target = model.inputs(x), (y - model.level) / model.spread
    blind = [n for n, (name, _) in enumerate(spec.features(charge)) if name in settings["blind"]]
    inputs[:, blind] = 0
    shared = {k: settings[k] for k in ("seeds", "batch", "learning_rate")} | candidate
    whole = network.ensemble(inputs[is_whole], target[is_whole], weight[is_whole], epochs=settings["epochs"], **shared)
    # What is left to say where windows are missing, and nothing where none is.
    rest = np.where(is_whole, 0, target - network.output(whole, inputs))
    kept = np.where(is_whole, weight * settings["whole_weight"], weight)
    partial = network.ensemble(inputs, rest, kept, epochs=settings["copy_epochs"], **shared)
    model.params = network.merge([whole, partial], 1)
    model.params[0][blind] = 0
    model.linear = network.linear(inputs[is_whole], target[is_whole], weight[is_whole])
    model.layers = int8.quantise(model.params, inputs, recipe["quantize"])
    return model


def guards(charge):
    """Temperature and rate: they tell where the model may speak."""
    return [n for n, (name, _) in enumerate(spec.features(charge)) if name in ("temperature", "rate")]


def normaliser(x, charge):
    """Offset and scale of each feature: mean and deviation of the amounts, fixed for the rest."""
    count = spec.amounts(charge)
    offset, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    offset[:count], scale[:count] = np.nanmean(x[:, :count], 0), np.nanstd(x[:, :count], 0)
    temperature, rate = guards(charge)
    offset[temperature], scale[temperature] = np.round(np.nanmean(x[:, temperature])), 10.0
    offset[rate], scale[rate] = np.round(np.nanmedian(x[:, rate]), 2), 0.1
    # As features.toml holds them.
    return np.array([float(f"{v:.6g}") for v in offset]), np.array([float(f"{v:.6g}") for v in scale])


def patterns(charge):
    """Which amounts are missing when a charge begins later and when it ends before the current has faded."""
    count = spec.amounts(charge)
    optional = count - 1 - charge["needed"]
    for late in range(optional + 1):
        for cut in (False, True):
            gone = np.zeros(count, bool)
            gone[:late], gone[-1] = True, cut
            yield gone


def without(x, gone):
    """x with these amounts missing."""
    x = x.copy()
    x[:, : len(gone)][:, gone] = np.nan
    return x


def can_say(x, charge):
    """Whether the windows that are needed are there. -> [rows] bool"""
    count = spec.amounts(charge)
    return ~np.isnan(x[:, count - 1 - charge["needed"] : count - 1]).any(1)


def missing(x, charge):
    """How many amounts a row lacks."""
    return np.isnan(x[:, : spec.amounts(charge)]).sum(1)


def rows(cells, charge, copies):
    """Training rows: each charge as recorded, and copies with windows missing; cells weigh alike.
    -> x, y, weight, whether the row is as recorded"""
    rng = np.random.default_rng(0)
    choices = list(patterns(charge))[1:]
    xs, ys, ws, whole = [], [], [], []
    for cell in cells:
        good = can_say(cell.x, charge)
        x, y = cell.x[good], cell.y[good]
        for n in range(copies):
            part = x.copy()
            if n > 0:
                for row, choice in enumerate(rng.integers(0, len(choices), len(x))):
                    part[row : row + 1] = without(part[row : row + 1], choices[choice])
            xs.append(part)
            ys.append(y)
            ws.append(np.full(len(y), 1 / len(y)))
            whole.append(np.full(len(y), n == 0))
    weight = np.concatenate(ws)
    return np.concatenate(xs), np.concatenate(ys), weight / weight.mean(), np.concatenate(whole)


def choose(cells, recipe):
    """The candidate with the least error on cells that its training left out, whole charges. -> candidate, error"""
    errors = []
    for candidate in recipe["fit"]["candidates"]:
        folds = []
        for held in cells:
            model = fit([c for c in cells if c is not held], recipe, candidate)
            good = can_say(held.x, recipe["charge"])
            folds.append(rmse(model.predict(held.x[good], "f32"), held.y[good]))
        errors.append(np.mean(folds))
    best = int(np.argmin(errors))
    return recipe["fit"]["candidates"][best], float(errors[best])


def half_widths(cells, recipe, candidate):
    """How far the truth lies from the int8 network on cells that its training left out, by how much is missing, never
    narrower than with more. -> one a number of missing amounts

    The interval is conformal. Charges of one cell err alike, so that with few cells the next cell and not the next charge
    is what has to be foretold: the `unit` is then the cell, and the width the most that any of them needs for the
    coverage. Of many cells it is the quantile over all charges."""
    most = spec.amounts(recipe["charge"]) - recipe["charge"]["needed"]
    errors = [[] for _ in range(most + 1)]
    for held in cells:
        model = fit([c for c in cells if c is not held], recipe, candidate)
        good = can_say(held.x, recipe["charge"])
        parts = [[] for _ in errors]
        for gone in patterns(recipe["charge"]):
            x = without(held.x[good], gone)
            error, lacks = np.abs(model.predict(x) - held.y[good]), missing(x, recipe["charge"])
            for n, part in enumerate(parts):
                part.append(error[lacks == n])
        for n, part in enumerate(parts):
            errors[n].append(np.concatenate(part))
    interval = recipe["interval"]
    joined = errors if interval["unit"] == "cell" else [[np.concatenate(each)] for each in errors]
    return list(np.maximum.accumulate([max(quantile(e, interval["coverage"]) for e in each) for each in joined]))


def quantile(errors, coverage):
    """The conformal one: so many of a hundred errors, and the next one, lie below. 0 of none."""
    rank = int(np.ceil((len(errors) + 1) * coverage)) - 1
    return float(np.sort(errors)[min(rank, len(errors) - 1)]) if len(errors) else 0.0


def resistance(cells):
    """The meter's resistances beside their references: the middle ratio, between what ratios nine tenths of them lie, and
    how they go together. -> a dict, None without a pair"""
    pairs = np.concatenate([np.stack([c.resistance, c.reference]) for c in cells], 1)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 10:
        return None
    ratio = pairs[0] / pairs[1]
    low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    return {"pairs": len(ratio), "ratio": float(middle), "ratio_90": [float(low), float(high)], "correlation": float(np.corrcoef(pairs)[0, 1])}


def rmse(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))
