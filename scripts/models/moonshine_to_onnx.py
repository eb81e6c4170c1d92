"""Turns Moonshine from ONNX Runtime's own format into plain ONNX: `moonshine_to_onnx.py in.ort out.onnx …`.

ONNX Runtime can save what it has loaded as ONNX, but its fused operators (domain `com.microsoft`) stay in, and only
ONNX Runtime knows them. Each is written out here with standard operators, as its definition says:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. The result depends on the input alone.
"""

import math
import os
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FUSED_DOMAIN = "com.microsoft"
OPSET = 18
IR_VERSION = 9


class Rewriter:
    """Rewrites one model."""

    def __init__(self, model):
        self.model = model
        self.constants = []
        self.count = 0
        self.rules = {
            "FusedConv": self.fused_conv,
            "FusedMatMul": self.fused_matmul,
            "DynamicQuantizeMatMul": self.dynamic_quantize_matmul,
            "MatMulIntegerToFloat": self.matmul_integer_to_float,
            "SkipLayerNormalization": self.skip_layer_normalization,
            "QuickGelu": self.quick_gelu,
            "Gelu": self.gelu,
        }

    def run(self):
        """Rewrites all graphs of the model."""
        self.graph(self.model.graph)
        self.model.graph.initializer.extend(self.constants)
        del self.model.opset_import[:]
        self.model.opset_import.append(helper.make_opsetid("", OPSET))
        return self.model

    def graph(self, graph):
        """Rewrites a graph and the graphs inside its operators (the branches of an If)."""
        outer, self.nodes = getattr(self, "nodes", None), []
        for node in list(graph.node):
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self.graph(attribute.g)
            if node.domain == FUSED_DOMAIN:
                rule = self.rules.get(node.op_type)
                if rule is None:
                    sys.exit(f"no rule for the operator {node.op_type}")
                rule(node, {a.name: helper.get_attribute_value(a) for a in node.attribute})
            else:
                self.nodes.append(node)
        del graph.node[:]
        graph.node.extend(self.nodes)
        self.nodes = outer

    # Building blocks.

    def name(self, of):
        self.count += 1
        return f"plain_{of}_{self.count}"

    def constant(self, value):
        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(numpy.asarray(value, dtype=numpy.float32), name))
        return name

    def add(self, operator, inputs, output=None, **attributes):
        """Appends an operator; the name of its result."""
        output = output or self.name(operator)
        self.nodes.append(helper.make_node(operator, inputs, [output], name=self.name("node"), **attributes))
        return output

    @staticmethod
    def optional(node, index):
        """The name of an input, or nothing when it is not connected."""
        return node.input[index] if index < len(node.input) and node.input[index] else None

    # The rules.

    def fused_conv(self, node, has):
        kept = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
        convolved = self.add("Conv", list(node.input[:3]), **{k: has[k] for k in kept if k in has})
        self.add(has["activation"].decode(), [convolved], node.output[0])

    def fused_matmul(self, node, has):
        left, right = node.input
        if has.get("transBatchA") or has.get("transBatchB"):
            sys.exit("FusedMatMul with transposed batches is not known here")
        if has.get("transA"):
            left = self.add("Transpose", [left], perm=[0, 1, 3, 2])
        if has.get("transB"):
            right = self.add("Transpose", [right], perm=[0, 1, 3, 2])
        scale = has.get("alpha", 1.0)
        if scale == 1.0:
            self.add("MatMul", [left, right], node.output[0])
        else:
            self.add("Mul", [self.add("MatMul", [left, right]), self.constant(scale)], node.output[0])

    def dynamic_quantize_matmul(self, node, _has):
        values, weights, weight_scale = node.input[:3]
        quantized, scale, zero = (self.name(part) for part in ("quantized", "scale", "zero"))
        self.nodes.append(
            helper.make_node("DynamicQuantizeLinear", [values], [quantized, scale, zero], name=self.name("node"))
        )
        weight_zero, bias = self.optional(node, 3), self.optional(node, 4)
        self.integer_matmul(node.output[0], (quantized, scale, zero), (weights, weight_scale, weight_zero), bias)

    def matmul_integer_to_float(self, node, _has):
        left = (node.input[0], node.input[2], self.optional(node, 4))
        right = (node.input[1], node.input[3], self.optional(node, 5))
        self.integer_matmul(node.output[0], left, right, self.optional(node, 6))

    def integer_matmul(self, output, left, right, bias):
        """(left - its zero) x (right - its zero), times both scales, plus the bias."""
        inputs = [left[0], right[0]]
        if left[2] or right[2]:
            inputs.append(left[2] or "")
        if right[2]:
            inputs.append(right[2])
        product = self.add("Cast", [self.add("MatMulInteger", inputs)], to=TensorProto.FLOAT)
        scale = self.add("Mul", [left[1], right[1]])
        if bias:
            self.add("Add", [self.add("Mul", [product, scale]), bias], output)
        else:
            self.add("Mul", [product, scale], output)

    def skip_layer_normalization(self, node, has):
        values, skipped, gamma = node.input[:3]
        beta, bias = self.optional(node, 3), self.optional(node, 4)
        total_output = node.output[3] if len(node.output) > 3 and node.output[3] else None
        if bias:
            total = self.add("Add", [self.add("Add", [values, skipped]), bias], total_output)
        else:
            total = self.add("Add", [values, skipped], total_output)
        inputs = [total, gamma] + ([beta] if beta else [])
        self.add("LayerNormalization", inputs, node.output[0], axis=-1, epsilon=has.get("epsilon", 1e-5))

    def quick_gelu(self, node, has):
        (values,) = node.input
        slope = has.get("alpha", 1.702)
        scaled = values if slope == 1.0 else self.add("Mul", [values, self.constant(slope)])
        self.add("Mul", [values, self.add("Sigmoid", [scaled])], node.output[0])

    def gelu(self, node, _has):
        (values,) = node.input
        error = self.add("Erf", [self.add("Div", [values, self.constant(math.sqrt(2))])])
        doubled = self.add("Mul", [values, self.add("Add", [error, self.constant(1)])])
        self.add("Mul", [doubled, self.constant(0.5)], node.output[0])


def exported(source, folder):
    """The model as ONNX Runtime saves it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = os.path.join(folder, "exported.onnx")
    options.add_session_config_entry("session.save_model_format", "ONNX")
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def tidy(model):
    """Gives every graph a name (ONNX wants one) and takes out what differs from one converter to the next."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.domain, model.doc_string = "", "", "", ""
    del model.metadata_props[:]
    model.graph.name = "main"
    del model.graph.value_info[:]
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                attribute.g.name = attribute.name
    return model


def main():
    for source, target in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        with tempfile.TemporaryDirectory() as folder:
            model = Rewriter(tidy(exported(source, folder))).run()
        with open(target, "wb") as file:
            file.write(model.SerializeToString(deterministic=True))
        # It must load: a conversion that went wrong is found here and not in the first call.
        onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
