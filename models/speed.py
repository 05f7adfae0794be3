"""The vehicle's runtime beside ONNX Runtime and stock tract: one thread, the same int8 file, in one run, in rounds that
alternate between them. Prints one JSON object; `cargo xtask bench infer` runs it and counts instructions besides.

    python speed.py --program ../target/speed/examples/speed --work DIR

A round is the mean of some milliseconds of runs. Of each contestant the least and the median round are told. ONNX Runtime
is called through a binding of inputs and outputs made once, so that no array is copied; what its call costs with nothing
to compute is told beside. Its own best format is the fastest of three: uint8 activations, f32 convolutions, and for
dense layers f32 Gemm over rows. The outputs of all that run the same file must be equal to the byte.
"""

import argparse
import copy
import json
import statistics
import subprocess
import time
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import int8

HERE = Path(__file__).parent
SHIPPED = ("cell-fault", "state-of-health", "state-of-health-sim")
CELLS = 96
# A causal network over time: 128 steps of 16 signals, 32 channels, kernels of three; it looks back over 127 steps.
STEPS, WIDTHS, DILATIONS = 128, [16, *[32] * 9, 8], [1, 1, 2, 4, 8, 8, 16, 16, 7]
ROUNDS, ROUND_NS = 41, 2e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=Path, help="the example `speed` of telltale-infer")
    parser.add_argument("--work", required=True, type=Path, help="scratch folder")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    models = [case(options.work, name) for name in SHIPPED] + [network(options.work)]
    result = {"onnxruntime": onnxruntime.__version__, "empty_call_ns": least(Ort(nothing(), np.zeros((1, 8, CELLS), np.int8)))}
    print(json.dumps(result | {"models": [compare(options.program, *model) for model in models]}))


def case(work, name):
    """A shipped model with an input for all cells."""
    file = work / f"{name}.onnx"
    manifest = tomllib.loads((HERE / name / "model.toml").read_text())
    file.write_bytes((HERE / name / manifest["onnx"]).read_bytes())
    return name, file, draw(file, int8.load(file)[0]["w"].shape[1], CELLS)


def network(work):
    """Random weights from a fixed seed: what it costs does not depend on them."""
    rng, layers = np.random.default_rng(9), []
    for n, (a, b) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        last = n == len(WIDTHS) - 2
        layers.append({
            "w": rng.integers(-127, 128, (b, a, 1 if last else 3)).astype(np.int8), "b": rng.integers(-999, 999, b).astype(np.int32),
            "x_scale": np.float32(0.05), "x_zero": -128 if n else 0, "w_scale": np.float32(0.0007),
            "y_scale": np.float32(0.05), "y_zero": 0 if last else -128, "dilation": 1 if last else DILATIONS[n],
        })
    file = work / "causal-network.onnx"
    int8.save(layers, file, "causal-network")
    return file.stem, file, draw(file, WIDTHS[0], STEPS)


def draw(file, channels, steps):
    """The input of all contestants, beside the file. -> [1, channels, steps] int8"""
    x = np.random.default_rng(4).integers(-127, 128, (1, channels, steps)).astype(np.int8)
    file.with_suffix(".input").write_bytes(x.tobytes())
    return x


def compare(program, name, file, x):
    """-> what each contestant takes for one window, or one sample"""
    ways = ["ours", "stock"] + (["stream"] if x.shape[2] == STEPS else [])
    contestants = {way: Tract(program, way, file, x) for way in ways}
    model = onnx.load(file)
    contestants["onnxruntime"] = Ort(model, x)
    contestants |= {kind: Ort(make(model), feed(x)) for kind, make, feed in formats(model)}
    expected = contestants["onnxruntime"].output()
    for way in ways:
        found = contestants[way].output()
        np.testing.assert_array_equal(found, expected[-len(found) :], f"{name}: {way} beside ONNX Runtime")
    counts = {way: max(1, int(ROUND_NS / least(c, 5))) for way, c in contestants.items()}
    rounds = {way: [] for way in contestants}
    for _ in range(ROUNDS):
        for way, contestant in contestants.items():
            rounds[way].append(contestant.run(counts[way]) / counts[way])
    took = {way: {"least_ns": round(min(r)), "median_ns": round(statistics.median(r))} for way, r in rounds.items()}
    best = min((way for way in took if way not in ways), key=lambda way: took[way]["least_ns"])
    layers = int8.load(file)
    dilations = [attributes(node).get("dilations", [1])[0] for node in model.graph.node]
    return {
        "name": name, "file": str(file), "bytes": file.stat().st_size, "channels": x.shape[1], "steps": x.shape[2],
        "parameters": int(sum(layer["w"].size + layer["b"].size for layer in layers)),
        "layers": [[*layer["w"].shape, dilation] for layer, dilation in zip(layers, dilations)], "onnxruntime_best": best, "took": took,
    }


def least(contestant, rounds=50):
    """The least of some short rounds, in ns a run."""
    return min(contestant.run(20) / 20 for _ in range(rounds))


class Tract:
    """The vehicle's runtime or stock tract, in a process that runs when it is told to."""

    def __init__(self, program, way, file, x):
        words = [str(program), way, str(file), str(x.shape[1]), str(x.shape[2])]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline()

    def run(self, times):
        return int(self.ask(times))

    def output(self):
        return np.frombuffer(bytes.fromhex(self.ask("output")), np.int8)


class Ort:
    """ONNX Runtime on one thread."""

    def __init__(self, model, x):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.binding = session.io_binding()
        self.binding.bind_ortvalue_input(session.get_inputs()[0].name, onnxruntime.OrtValue.ortvalue_from_numpy(x))
        empty = np.zeros_like(session.run(None, {session.get_inputs()[0].name: x})[0])
        self.result = onnxruntime.OrtValue.ortvalue_from_numpy(empty)
        self.binding.bind_ortvalue_output(session.get_outputs()[0].name, self.result)
        self.session = session

    def run(self, times):
        run, binding = self.session.run_with_iobinding, self.binding
        start = time.perf_counter_ns()
        for _ in range(times):
            run(binding)
        return time.perf_counter_ns() - start

    def output(self):
        self.run(1)
        return self.result.numpy()[0, 0]


def nothing():
    """A graph that only copies."""
    ends = [[helper.make_tensor_value_info(name, T.INT8, [1, 8, CELLS])] for name in "xy"]
    return finish(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", *ends))


def finish(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def formats(model):
    """ONNX Runtime's own formats of the same network: (name, graph from graph, input from input)."""
    yield "onnxruntime_uint8", unsigned, lambda x: (x.astype(np.int16) + 128).astype(np.uint8)
    yield "onnxruntime_f32", floats, lambda x: x.astype(np.float32)
    if all(list(a.ints) == [1] for node in model.graph.node for a in node.attribute if a.name == "kernel_shape"):
        yield "onnxruntime_gemm", gemm, lambda x: np.ascontiguousarray(x[0].T.astype(np.float32))


def unsigned(model):
    """Activations 128 higher, as uint8."""
    model = copy.deepcopy(model)
    points = {node.input[place] for node in model.graph.node for place in (2, 7)}
    for constant in model.graph.initializer:
        if constant.name in points:
            point = numpy_helper.to_array(constant).astype(np.int16) + 128
            constant.CopyFrom(numpy_helper.from_array(point.astype(np.uint8), constant.name))
    for end in [*model.graph.input, *model.graph.output]:
        end.type.tensor_type.elem_type = T.UINT8
    return model


def floats(model):
    """Convolutions and ReLUs in f32."""
    return in_floats(model, lambda node, x, w, b, y: helper.make_node("Conv", [x, w, b], [y], **attributes(node)), lambda w: w, ("C", "N"))


def gemm(model):
    """Dense layers over [cells, channels] in f32."""
    return in_floats(model, lambda _, x, w, b, y: helper.make_node("Gemm", [x, w, b], [y], transB=1), lambda w: w[:, :, 0], ("N", "C"))


def attributes(node):
    return {a.name: list(a.ints) for a in node.attribute}


def in_floats(model, make, shape, axes):
    values = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    nodes, constants, x = [], [], "features"
    for n, node in enumerate(model.graph.node):
        x_scale, _, w, w_scale, _, _, y_zero, b = (values[name] for name in node.input[1:])
        constants += [numpy_helper.from_array(shape(w.astype(np.float32) * w_scale), f"w{n}")]
        constants += [numpy_helper.from_array((b * (x_scale * w_scale)).astype(np.float32), f"b{n}")]
        nodes.append(make(node, x, f"w{n}", f"b{n}", f"z{n}"))
        if y_zero == -128:
            nodes.append(helper.make_node("Relu", [f"z{n}"], [f"y{n}"]))
        x = nodes[-1].output[0]
    whole = lambda name: helper.make_tensor_value_info(name, T.FLOAT, [1, *axes] if axes[0] == "C" else list(axes))
    return finish(helper.make_graph(nodes, "floats", [whole("features")], [whole(x)], constants))


if __name__ == "__main__":
    main()
