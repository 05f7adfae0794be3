"""One model in three runtimes: numpy's integers, ONNX Runtime and the golden bytes, which the agent's own runtime is held
to by `cargo test -p telltale-infer --test golden`. Any byte that differs ends with an error.

    python parity.py --model state-of-health
"""

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime

import int8

HERE = Path(__file__).parent
SUBJECTS = 4_096


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the name of a folder beside this file")
    folder = HERE / parser.parse_args().model
    file = folder / tomllib.loads((folder / "model.toml").read_text())["onnx"]
    layers = int8.load(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    compared = {"random": equal(layers, session, draws(layers))}
    for vector in tomllib.loads((folder / "golden.toml").read_text())["vector"]:
        q = np.frombuffer(bytes.fromhex(vector["input"]), np.int8).reshape(-1, vector["subjects"])
        compared[vector["name"]] = equal(layers, session, q, bytes.fromhex(vector["output"]))
    weights = sum(layer["w"].size + layer["b"].size for layer in layers)
    print(json.dumps({"model": folder.name, "bytes": file.stat().st_size, "stored_parameters": weights, "outputs_equal": compared}))


def draws(layers):
    """Inputs over the whole range. -> [channels, subjects] int8"""
    return np.random.default_rng(3).integers(-127, 128, (layers[0]["w"].shape[1], SUBJECTS)).astype(np.int8)


def equal(layers, session, q, golden=None):
    """-> how many outputs were compared"""
    ours, theirs = int8.integers(layers, q.T)[:, 0], session.run(None, {"features": q[None]})[0][0, 0]
    np.testing.assert_array_equal(ours, theirs)
    if golden is not None:
        np.testing.assert_array_equal(theirs, np.frombuffer(golden, np.int8))
    return len(theirs)


if __name__ == "__main__":
    main()
