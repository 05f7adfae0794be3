"""The vehicle's own program as the models' scripts call it, and what a cached answer of it rests on."""

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
