"""Weights to an int8 ONNX file that tract runs in integers: QLinearConv alone, dense layers as 1x1 convolutions over
[1, channels, cells], symmetric per-tensor weights, channels in multiples of 8. The ReLU is the saturation at zero
point -128. Instead of a scale per channel, which falls to a slow path, neighbouring layers are equalised first."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper


def quantise(params, x, recipe):
    """params = [w0 [in, out], b0, w1, ...], x the training features. -> a list of layers for `save`"""
    params = equalise(params, recipe["equalisation_rounds"])
    count = len(params) // 2
    layers, scale_in, zero_in, a = [], np.float32(recipe["input_limit"] / 127), 0, x.astype(np.float64)
    for n in range(count):
        w, b = params[2 * n], params[2 * n + 1]
        a = a @ w + b
        if n == count - 1:
            scale_out, zero_out = np.float32(recipe["output_limit"] / 127), 0
        else:
            a = np.maximum(a, 0)
            scale_out, zero_out = np.float32(a.max() / 255), -128
        scale_w = np.float32(np.abs(w).max() / 127)
        weights, bias = padded(w, b)
        layers.append({
            "w": np.clip(np.rint(weights / scale_w), -127, 127).astype(np.int8).T[:, :, None].copy(),
            "b": np.rint(bias / (np.float64(scale_in) * np.float64(scale_w))).astype(np.int32),
            "x_scale": scale_in, "x_zero": zero_in, "w_scale": scale_w, "y_scale": scale_out, "y_zero": zero_out,
        })
        scale_in, zero_in = scale_out, zero_out
    return layers


def equalise(params, rounds):
    """Evens out the ranges of neighbouring layers without changing what they compute (Nagel et al., ICCV 2019)."""
    params = [p.astype(np.float64) for p in params]
    for _ in range(rounds):
        for n in range(0, len(params) - 2, 2):
            out, into = np.abs(params[n]).max(0), np.abs(params[n + 2]).max(1)
            live = (out > 1e-7) & (into > 1e-7)
            s = np.where(live, np.sqrt(np.maximum(out, 1e-9) / np.maximum(into, 1e-9)), 1)
            params[n] /= s
            params[n + 1] /= s
            params[n + 2] *= s[:, None]
    return params


def padded(w, b):
    """Channels up to multiples of 8, with zeros."""
    rows, columns = (-(-n // 8) * 8 for n in w.shape)
    weights, bias = np.zeros((rows, columns)), np.zeros(columns)
    weights[: w.shape[0], : w.shape[1]] = w
    bias[: len(b)] = b
    return weights, bias


def save(layers, path, name):
    """Writes the ONNX file: input `features` [1, channels, N] and output `logit` [1, 8, N], logit in channel 0. A layer of
    several taps is causal: as many steps of padding in front as it reaches back, by its `dilation` a tap."""
    nodes, constants, x = [], [], "features"
    for n, layer in enumerate(layers):
        y = "logit" if n == len(layers) - 1 else f"hidden{n}"
        values = {
            f"x{n}_scale": layer["x_scale"], f"x{n}_zero": np.int8(layer["x_zero"]),
            f"w{n}": layer["w"], f"w{n}_scale": layer["w_scale"], f"w{n}_zero": np.int8(0),
            f"y{n}_scale": layer["y_scale"], f"y{n}_zero": np.int8(layer["y_zero"]), f"b{n}": layer["b"],
        }
        constants += [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()]
        taps, dilation = layer["w"].shape[2], layer.get("dilation", 1)
        past = {"dilations": [dilation], "pads": [(taps - 1) * dilation, 0]} if taps > 1 else {}
        title = f"dense{n}" if taps == 1 else f"causal{n}"
        nodes.append(helper.make_node("QLinearConv", [x, *values], [y], name=title, kernel_shape=[taps], **past))
        x = y
    tensor = lambda label, w: helper.make_tensor_value_info(label, T.INT8, [1, w, "N"])
    ends = [tensor("features", layers[0]["w"].shape[1])], [tensor("logit", layers[-1]["w"].shape[0])]
    graph = helper.make_graph(nodes, name, *ends, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="telltale-models")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)


def load(path):
    """The layers of a file that `save` wrote."""
    graph, layers = onnx.load(path).graph, []
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    for node in graph.node:
        x_scale, x_zero, w, w_scale, _, y_scale, y_zero, b = (constants[name] for name in node.input[1:])
        layers.append({
            "w": w, "b": b, "x_scale": x_scale, "x_zero": int(x_zero), "w_scale": w_scale, "y_scale": y_scale, "y_zero": int(y_zero),
        })
    return layers


def quantise_input(x, scale):
    """As the vehicle does: ties to even."""
    return np.clip(np.rint(x.astype(np.float32) / np.float32(scale)), -127, 127).astype(np.int8)


def integers(layers, q):
    """The same network in numpy's integers, an oracle for both runtimes. q [n, channels] int8 -> [n, out] int8"""
    a = q.astype(np.int64)
    for layer in layers:
        total = (a - layer["x_zero"]) @ layer["w"][:, :, 0].T.astype(np.int64) + layer["b"]
        factor = layer["x_scale"] * layer["w_scale"] / layer["y_scale"]
        a = np.clip(np.rint(total.astype(np.float32) * factor) + layer["y_zero"], -128, 127).astype(np.int64)
    return a.astype(np.int8)
