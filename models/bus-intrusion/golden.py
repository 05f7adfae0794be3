"""Golden vectors: int8 inputs and the bytes that ONNX Runtime answers, for the agent's tests."""

import numpy as np
import onnxruntime

import data  # noqa: F401, finds the folder of int8
import int8


def write(folder, file, layers):
    """Writes golden.toml. Numpy's integers must agree with ONNX Runtime on every vector."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(11)
    quiet = np.zeros((16, 1), np.int64)
    inputs = {
        "quiet-bus": quiet,
        "four-buses": rng.integers(-127, 128, (16, 4)),
        "counts": np.clip(np.rint(np.log2(1 + rng.integers(0, 40, (16, 16))) / (8 / 127)), -127, 127),
        "extremes": rng.choice([-127, 0, 127], (16, 16)),
    }
    text = ["# Written by golden.py. Bytes are int8 in hexadecimal; inputs are [channels][subjects].", "schema = 1"]
    for name, q in inputs.items():
        q = q.astype(np.int8)
        out = session.run(None, {"features": q[None]})[0][0, 0]
        np.testing.assert_array_equal(out, int8.integers(layers, q.T)[:, 0])
        text += ["", "[[vector]]", f'name = "{name}"', f"subjects = {q.shape[1]}", f'input = "{q.tobytes().hex()}"', f'output = "{out.tobytes().hex()}"']
    (folder / "golden.toml").write_text("\n".join(text) + "\n")
