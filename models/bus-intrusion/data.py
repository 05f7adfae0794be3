"""Recordings to rows of seconds. The rows come from the vehicle's own code: this file cuts a recording at the split's
times, writes it as a candump log, and has `telltale bus learn` and `telltale bus features` read it."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
BASE_S = 1_600_000_000  # whole seconds of the recordings are whole seconds of the vehicle's grid
FAMILIES = ["flood", "unknown identifier", "fuzzing", "replay", "suppression", "masquerade", "other"]


@dataclass
class Traffic:
    """Frames in order: at [n] in microseconds, id [n], word [n] (eight bytes), attack [n]."""

    at: np.ndarray
    id: np.ndarray
    word: np.ndarray
    attack: np.ndarray

    def take(self, keep):
        return Traffic(self.at[keep], self.id[keep], self.word[keep], self.attack[keep])

    def cut(self, start, end):
        """The frames from `start` on and before `end`, in seconds."""
        return self.take((self.at >= start * 1_000_000) & (self.at < end * 1_000_000))

    def with_frames(self, at, id, word):
        """Frames of an attacker among these; at the same time they come after."""
        new = Traffic(*(np.asarray(v) for v in (at, id, word)), np.ones(len(at), bool))
        both = [np.concatenate(pair) for pair in zip(vars(self).values(), vars(new).values())]
        order = np.argsort(both[0], kind="stable")
        return Traffic(both[0][order].astype(np.int64), both[1][order].astype(np.int64), both[2][order].astype(np.uint64), both[3][order])


@dataclass
class Seconds:
    """What the vehicle sees: end [n] in s, x [n, features], rule [n], family [n]; seconds without a row are left out."""

    end: np.ndarray
    x: np.ndarray
    rule: np.ndarray
    family: np.ndarray

    def cut(self, start, end):
        """The seconds that lie between these."""
        keep = (self.end - 1 >= start) & (self.end <= end)
        return Seconds(self.end[keep], self.x[keep], self.rule[keep], self.family[keep])


def read(folder, name):
    """One zipped trace. Some of its attackers' identifiers are written as `290.0`, some payloads as `0`."""
    with zipfile.ZipFile(folder / "volvo_v40_can" / f"{name}.can.zip") as archive, archive.open(archive.namelist()[0]) as file:
        names = ["timestamp", "CAN_ID", "PAYLOAD_HEX", "ANOMALY"]
        text = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
        time, id, payload, anomaly = (column.to_pylist() for column in pa.csv.read_csv(file, convert_options=text).columns)
    at = np.rint(np.array(time, float) * 1e6).astype(np.int64)
    id = np.array([int(text.removesuffix(".0"), 16) for text in id], np.int64)
    word = np.array([int(text, 16) for text in payload], np.uint64)
    return Traffic(at, id, word, np.array([text.upper() == "TRUE" for text in anomaly]))


def write(path, traffic):
    """A candump log."""
    with open(path, "w") as file:
        for at, id, word in zip(traffic.at.tolist(), traffic.id.tolist(), traffic.word.tolist()):
            file.write(f"({BASE_S + at // 1_000_000}.{at % 1_000_000:06}) can0 {id:03X}#{word:016X}\n")


class Vehicle:
    """The vehicle's code, by its binary, in a scratch folder."""

    def __init__(self, tool, work):
        self.tool, self.work = tool, work
        self.has_rule = True  # training makes it: before, there is none

    def learn(self, name, parts, verify=()):
        """A profile of these stretches of traffic. -> its path"""
        logs = {False: [], True: []}
        for place, (is_verify, part) in enumerate([(False, p) for p in parts] + [(True, p) for p in verify]):
            log = self.work / f"{name}-{place}.log"
            write(log, part)
            logs[is_verify].append(log)
        profile = self.work / f"{name}.profile.toml"
        more = [word for log in logs[True] for word in ("--verify", log)]
        self.run("bus", "learn", "--bus", "can0", "--name", name, *logs[False], *more, "-o", profile)
        for log in logs[False] + logs[True]:
            log.unlink()
        return profile

    def seconds(self, name, profile, traffic):
        """-> Seconds of the traffic, by the profile"""
        log = self.work / f"{name}.log"
        write(log, traffic)
        rows = self.rows(name, profile, [log], ["--bus", "can0"])
        log.unlink()
        rows.end -= BASE_S
        return rows

    def rows(self, name, profile, logs, buses):
        parquet = self.work / f"{name}.parquet"
        spec = HERE / "features.toml"
        rule = ["--model", HERE] if self.has_rule else []
        self.run("bus", "features", *buses, "--profile", profile, "--spec", spec, *rule, *logs, "-o", parquet)
        table = pyarrow.parquet.read_table(parquet)
        parquet.unlink()
        # Seconds in which nothing is judged yet have nulls.
        table = table.filter(table["rule"].is_valid())
        names = [n for n in table.column_names if n not in ("window", "end_us", "subject", "rule", "family")]
        x = np.stack([table[name].to_numpy() for name in names], 1).astype(np.float32)
        end, family = table["end_us"].to_numpy() / 1e6, table["family"].to_numpy().astype(int)
        return Seconds(end, x, table["rule"].to_numpy(), family)

    def run(self, *arguments):
        subprocess.run([str(self.tool), "--quiet", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def attacked(traffic, seconds):
    """Which seconds hold a frame of the attacker. -> bool [n]"""
    hit = np.unique(traffic.at[traffic.attack] // 1_000_000)
    return np.isin(np.rint(seconds.end).astype(np.int64) - 1, hit)
