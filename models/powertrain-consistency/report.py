"""The card's table out of the figures."""

import data  # noqa: F401, finds the folder of card
import card

# How large each kind is, as the simulator has it by default.
SIZES = {
    "torque-offset": "8 Nm",
    "current-gain": "x 1.08",
    "motor-temperature-drift": "12 K/h",
    "blocked-drive-cooling": "70 % of the radiator",
    "weak-contactor": "60 mOhm, chattering",
    "aged-low-voltage-battery": "x 3 resistance",
}
JUDGES = {"network_int8": "network int8", "network_f32": "network f32", "linear": "linear", "rules": "rules"}


def write(folder, figures):
    judges = figures["judges"]
    kinds = [[f"{kind}, {SIZES[kind]}", *(found(of[judge]) for judge in JUDGES)] for kind, of in figures["faults"].items()]
    alarms = ["false alarms, clean drives", *(rate(judges[judge], figures["clean_hours"]) for judge in JUDGES)]
    residuals = (judges[judge].get("residual_w") for judge in JUDGES)
    deviation = ["deviation on clean drives", *("-" if watts is None else f"{watts:.0f} W" for watts in residuals)]
    card.write(folder / "CARD.md", figures=card.rows(["fault", *JUDGES.values()], *kinds, alarms, deviation))


def found(of):
    if not of["found"]:
        return f"0 of {of['of']}"
    name = f", as {of['names']}" if "names" in of else ""
    return f"{of['found']} of {of['of']}, {of['median_minutes']:.0f} min{name}"


def rate(of, hours):
    low, high = of["false_alarms_interval"]
    return f"{of['false_alarms']} in {hours:.0f} h: {of['false_alarms_per_100_h']:.1f} per 100 h ({low:.1f} to {high:.1f})"
