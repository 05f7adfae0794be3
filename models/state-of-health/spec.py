"""features.toml: which numbers the vehicle reads off a charge, written from the recipe."""

HEAD = """\
# Written by train.py from recipe.toml: what is read off a charge. Shares of the nominal capacity, so that cells of one
# chemistry and any size read alike. Offset and scale are the mean and the deviation of the training cells.
# Training and vehicle both compute these by telltale-core. The digest of this file names it in model.toml.
schema = 1
name = "charge-curve"
period_s = {period_s}
reset_gap_s = 300

[members]
signal = "Vehicle.Powertrain.TractionBattery.Cell{{n}}.Voltage"
subject = "Cell{{n}}"

[context]
current = "Vehicle.Powertrain.TractionBattery.CurrentCurrent"
temperature = "Vehicle.Powertrain.TractionBattery.Temperature.Probe1"

# A charge: the current is into the pack for ten minutes or more. Rates are multiples of the nominal capacity per hour.
[charge]
current = "current"
temperature = "temperature"
nominal_ah = {nominal_ah}
start_rate = 0.05
stop_rate = 0.02
step_rate = 0.2
pause_s = 60
shortest_s = 600
settle_s = 10
"""


def features(charge):
    """The features in order: (name, the lines of its operator)."""
    volts = charge["volts"]
    windows = [(f"charge_{low:.2f}", [("op", "charge_between"), ("low", low), ("high", high)]) for low, high in zip(volts, volts[1:])]
    fade = [("charge_fade", [("op", "charge_fade"), ("low", volts[-1]), ("rate", charge["fade_rate"])])]
    amounts = windows + fade
    flags = [(f"has_{name.removeprefix('charge_')}", [("op", "present"), ("of", name)]) for name, _ in amounts]
    rest = [("temperature", [("op", "charge_temperature")]), ("rate", [("op", "charge_rate")])]
    return amounts + flags + rest


def amounts(charge):
    """How many features are amounts of charge; as many flags follow that say whether each is there."""
    return len(charge["volts"])


def document(charge, offset=None, scale=None, clip=None):
    """The whole file; without a normaliser it gives physical values."""
    text = [HEAD.format(period_s=charge["period_s"], nominal_ah=charge["nominal_ah"])]
    for n, (name, lines) in enumerate(features(charge)):
        text += ["[[feature]]", f'name = "{name}"']
        text += [f"{key} = {value}" if isinstance(value, float) else f'{key} = "{value}"' for key, value in lines]
        if offset is not None:
            text += [f"offset = {offset[n]:.6g}", f"scale = {scale[n]:.6g}", f"clip = {float(clip)}", ""]
        else:
            text += ["scale = 1.0", "clip = 1000000.0", ""]
    return "\n".join(text)
