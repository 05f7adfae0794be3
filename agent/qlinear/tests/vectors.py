"""Writes vectors.toml: QLinearConv layers with the bytes that ONNX Runtime gives for them.

    pip install numpy onnx onnxruntime
    python agent/qlinear/tests/vectors.py > agent/qlinear/tests/vectors.toml
"""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

# inputs, outputs, taps, stride, dilation, pads, steps, scales per channel, bias
CASES = [
    (8, 8, 1, 1, 1, (0, 0), 17, False, True),
    (8, 16, 3, 1, 1, (1, 1), 20, True, True),
    (4, 8, 3, 1, 2, (4, 0), 33, True, True),
    (16, 8, 5, 2, 1, (2, 2), 31, True, True),
    (3, 5, 3, 3, 2, (0, 1), 29, True, False),
    (1, 1, 7, 1, 1, (3, 3), 16, False, False),
    (9, 7, 2, 1, 8, (8, 0), 12, True, True),
    (12, 9, 4, 2, 3, (5, 6), 18, False, True),
    (8, 24, 3, 1, 4, (8, 0), 48, True, True),
    (5, 8, 1, 4, 1, (0, 0), 19, True, True),
]


def model(case, spec):
    inputs, outputs, taps, stride, dilation, pads, steps, _, bias = case
    constants = {
        "xs": np.float32(spec["x_scale"]), "xz": np.int8(spec["x_zero"]), "w": spec["w"],
        "ws": spec["ws"] if len(spec["ws"]) > 1 else np.float32(spec["ws"][0]),
        "wz": np.zeros(len(spec["ws"]), np.int8) if len(spec["ws"]) > 1 else np.int8(0),
        "ys": np.float32(spec["y_scale"]), "yz": np.int8(spec["y_zero"]),
    }
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    if bias:
        constants["b"] = spec["b"]
        names.append("b")
    node = helper.make_node("QLinearConv", names, ["y"], kernel_shape=[taps], strides=[stride],
                            dilations=[dilation], pads=list(pads))
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, inputs, steps])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [1, outputs, "steps"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    return ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


def row(values):
    return "[" + ", ".join(str(int(v)) for v in np.asarray(values).ravel()) + "]"


def main():
    rng = np.random.default_rng(20260101)
    print(f"# Written by vectors.py with ONNX Runtime {ort.__version__}.")
    for case in CASES:
        inputs, outputs, taps, stride, dilation, pads, steps, per_channel, bias = case
        w = rng.integers(-128, 128, (outputs, inputs, taps)).astype(np.int8)
        x = rng.integers(-128, 128, (1, inputs, steps)).astype(np.int8)
        x[0, :, :2] = -128
        x[0, :, 2:4] = 127
        ws = rng.uniform(0.002, 0.02, outputs if per_channel else 1).astype(np.float32)
        reach = 0.01 * 0.05 * 74 * 74 * np.sqrt(inputs * taps)
        spec = {
            "x_scale": np.float32(0.05), "x_zero": rng.integers(-128, 128), "w": w, "ws": ws,
            "y_scale": np.float32(reach / 60), "y_zero": rng.integers(-20, 20),
            "b": rng.integers(-20000, 20000, outputs).astype(np.int32),
        }
        y = model(case, spec).run(None, {"x": x})[0]
        print("\n[[layer]]")
        print(f"inputs = {inputs}\noutputs = {outputs}\ntaps = {taps}\nstride = {stride}\ndilation = {dilation}")
        print(f"pads = [{pads[0]}, {pads[1]}]\nsteps = {steps}")
        print(f"x_scale = {spec['x_scale']!r}".replace("np.float32(", "").replace(")", ""))
        print(f"x_zero = {spec['x_zero']}")
        print("w_scales = [" + ", ".join(f"{float(s):.9g}" for s in ws) + "]")
        print(f"y_scale = {float(spec['y_scale']):.9g}\ny_zero = {spec['y_zero']}")
        print(f"weights = {row(w)}\nbias = {row(spec['b']) if bias else '[]'}")
        print(f"input = {row(x)}\noutput = {row(y)}")


main()
