"""The vehicle's own program as the models' scripts call it, how those are called themselves, and what a cached answer
rests on."""

import argparse
import hashlib
import subprocess
from pathlib import Path


def fingerprint(tool, *files):
    """Of the program and of what it reads."""
    digest = hashlib.sha256()
    for path in (tool, *files):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def run(tool, *arguments):
    """-> what the program says on standard output"""
    done = subprocess.run([str(tool), *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def arguments(what, recordings=None):
    """The command line that all scripts of a model share, as `cargo xtask models` gives it. `recordings` says what a model
    needs the folder of the recordings for; without it nothing of the model is recorded."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--telltale", required=True, type=Path, help="the vehicle's program, which computes what a model is fed")
    used = recordings or "not used: nothing here is recorded"
    parser.add_argument("--data", required=recordings is not None, type=Path, help=used)
    parser.add_argument("--work", required=True, type=Path, help="scratch folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args()
