"""Another vehicle, of which training saw nothing: the simulator's two buses. Hours of clean drives for a second measurement
of false alarms, and the simulator's own attacks, whose times are known."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import network

BUSES = ["--bus", "can0", "--bus", "can1"]
ATTACKS = {
    "flood, 2,000 frames a second": "can-flood:onset=1200,for=20",
    "replay of 10 s of the BMS's bus": "replay:onset=1200,for=20",
    "replay of 10 s of the powertrain's bus": "replay:ecu=powertrain,onset=1200,for=20",
    "masquerade that knows counter and checksum": "masquerade:message=0x180,onset=1200,for=20",
    "missing BMS": "missing-ecu:onset=1200,for=20",
    "missing powertrain unit": "missing-ecu:ecu=powertrain,onset=1200,for=20",
}


def measure(vehicle, recipe, scores, limits):
    spec = recipe["simulated"]
    drive = lambda seed, hours, *more: simulate(vehicle, f"clean-{seed}", seed, hours, *more)
    logs = [drive(seed, spec["learn_hours"]) for seed in spec["learn_seeds"]]
    verify = [word for seed in spec["verify_seeds"] for word in ("--verify", drive(seed, spec["learn_hours"]))]
    profile = vehicle.work / "simulated.profile.toml"
    vehicle.run("bus", "learn", *BUSES, "--name", "simulated", *logs, *verify, "-o", profile)

    def alarms(log):
        rows = vehicle.rows(log.stem, profile, [log], BUSES)
        said = {model: score(rows.x) > limits[model][0] for model, score in scores.items()}
        said["rule"] = rows.rule > 0
        said["verdict"] = said["int8"] | said["rule"]
        return rows, said

    def clean(seed):
        log = drive(seed, spec["clean_hours"])
        rows, said = alarms(log)
        log.unlink()
        return len(rows.end), {model: int(alarm.sum()) for model, alarm in said.items()}

    def attack(one):
        place, fault, seed = one
        log = simulate(vehicle, f"attack-{place}-{seed}", seed, 0.36, "--fault", fault)
        rows, said = alarms(log)
        onset = first(log) + 1200
        log.unlink()
        inside = (rows.end > onset) & (rows.end <= onset + 22)
        hit = said["verdict"] & inside
        late = float(rows.end[hit].min() - onset) if hit.any() else None
        return {m: bool((v & inside).any()) for m, v in said.items()}, late, evaluate.families(rows, hit)

    import evaluate

    with ThreadPoolExecutor(evaluate.AT_ONCE) as pool:
        quiet = list(pool.map(clean, spec["clean_seeds"]))
        jobs = [(place, fault, seed) for place, fault in enumerate(ATTACKS.values()) for seed in spec["attack_seeds"]]
        found = list(pool.map(attack, jobs))
    hours = sum(seconds for seconds, _ in quiet) / 3600
    false = {m: sum(alarms[m] for _, alarms in quiet) for m in quiet[0][1]}
    result = {
        "clean_bus_hours": round(hours, 2), "false_alarms": false,
        "most_an_hour_95": {m: round(network.most(v, hours), 3) for m, v in false.items()}, "attacks": {},
    }
    for place, name in enumerate(ATTACKS):
        mine = [one for job, one in zip(jobs, found) if job[0] == place]
        late = [seconds for _, seconds, _ in mine if seconds is not None]
        looks = {}
        for _, _, families in mine:
            for family, count in families.items():
                looks[family] = looks.get(family, 0) + count
        result["attacks"][name] = {
            "episodes": len(mine), "found": {m: sum(hit[m] for hit, _, _ in mine) for m in mine[0][0]},
            "median_latency_s": round(float(np.median(late)), 2) if late else None, "looks_like": looks,
        }
    return result


def simulate(vehicle, name, seed, hours, *more):
    log = vehicle.work / f"simulated-{name}.log"
    vehicle.run("simulate", "--seed", seed, "--hours", hours, "--powertrain", "can1", *more, "-o", log)
    return log


def first(log):
    with open(log) as file:
        return float(file.readline().split(")")[0][1:])


def lines(result, models):
    import evaluate

    out = [f"\n## Simulated vehicle, nothing of it in training: {result['clean_bus_hours']} clean hours of a bus\n"]
    out += ["| model | false alarms | at most an hour, 95 % |", "|---|---|---|"]
    out += [f"| {m} | {result['false_alarms'][m]} | {result['most_an_hour_95'][m]} |" for m in models]
    out += ["\n| the simulator's attack | " + " | ".join(models) + " | verdict: median seconds to the alarm | looks like |", "|---" * (len(models) + 3) + "|"]
    for name, r in result["attacks"].items():
        cells = " | ".join(f"{r['found'][m]} of {r['episodes']}" for m in models)
        out.append(f"| {name} | {cells} | {r['median_latency_s']} | {evaluate.told(r['looks_like'])} |")
    return out
