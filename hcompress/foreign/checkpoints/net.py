"""Writes the layers of a checkpoint into an ONNX graph, from the image on.

N images, C channels, T frames. Values are names. A BatchNorm is folded into the convolution before
it: what is left computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.checkpoints.state import State

    Floats = NDArray[np.float32]

OPSET: Final = 17
"""What all runtimes of the last years run."""
IR_VERSION: Final = 8
_EPSILON: Final = 1e-5
"""torch's own."""
_GATES: Final = (0, 3, 1, 2)
"""torch's i, f, g, o in ONNX's order: i, o, f, c."""


class Net:
    """A graph that is being written, layer by layer, by the names of a state's tensors."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._nodes: list[NodeProto] = []
        self._held: dict[str, TensorProto] = {}

    def conv(
        self,
        value: str,
        name: str,
        norm: str | None = None,
        *,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0),
        groups: int = 1,
        epsilon: float = _EPSILON,
    ) -> str:
        """[N, C, H, W] through a convolution, and the BatchNorm behind it if there is one."""
        weight, bias = self._weight(name), self._bias(name)
        if norm is not None:
            weight, bias = self._folded(weight, bias, norm, epsilon)
        inputs = [value, self._hold(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self._hold(f"{name}.bias", bias))
        return self.op(
            "Conv",
            *inputs,
            kernel_shape=list(weight.shape[2:]),
            strides=list(stride),
            pads=[*padding, *padding],
            group=groups,
        )

    def relu(self, value: str) -> str:
        """What is below nought becomes nought."""
        return self.op("Relu", value)

    def max_pool(
        self,
        value: str,
        kernel: Sequence[int] = (2, 2),
        stride: Sequence[int] | None = None,
        padding: Sequence[int] = (0, 0),
    ) -> str:
        """[N, C, H, W], each the greatest in its window."""
        return self.op(
            "MaxPool",
            value,
            kernel_shape=list(kernel),
            strides=list(stride or kernel),
            pads=[*padding, *padding],
        )

    def frames(self, value: str) -> str:
        """[N, C, H, W] to [T, N, C], heights averaged."""
        flat = self.op("ReduceMean", value, axes=[2], keepdims=0)
        return self.op("Transpose", flat, perm=[2, 0, 1])

    def lstm(self, value: str, name: str, layer: int = 0) -> str:
        """[T, N, C] through a layer of both directions, to [T, N, 2 hidden]."""
        ends = (f"l{layer}", f"l{layer}_reverse")

        def both(part: str) -> list[Floats]:
            return [_gates(self.state.floats(f"{name}.{part}_{end}")) for end in ends]

        biases = zip(both("bias_ih"), both("bias_hh"), strict=True)
        recurrent = np.stack(both("weight_hh"))
        inputs = [
            self._hold(f"{name}.weight_ih_l{layer}", np.stack(both("weight_ih"))),
            self._hold(f"{name}.weight_hh_l{layer}", recurrent),
            self._hold(f"{name}.bias_l{layer}", np.stack([np.concatenate(two) for two in biases])),
        ]
        hidden = recurrent.shape[2]
        states = self.op("LSTM", value, *inputs, hidden_size=hidden, direction="bidirectional")
        beside = self.op("Transpose", states, perm=[0, 2, 1, 3])
        shape = self._hold(f"{name}.joined", np.array([0, 0, 2 * hidden], np.int64))
        return self.op("Reshape", beside, shape)

    def linear(self, value: str, name: str) -> str:
        """[..., C] through a linear layer, as a MatMul and an Add."""
        weight = np.ascontiguousarray(self._weight(name).T)
        product = self.op("MatMul", value, self._hold(f"{name}.weight", weight))
        bias = self._bias(name)
        if bias is None:
            return product
        return self.op("Add", product, self._hold(f"{name}.bias", bias))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One node with one output, which is returned."""
        made = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    def model(
        self, scores: str, image: Sequence[int | str], answer: Sequence[int | str]
    ) -> ModelProto:
        """The whole graph, from `image` to `logits`."""
        self._nodes.append(helper.make_node("Identity", [scores], ["logits"]))
        graph = helper.make_graph(
            self._nodes,
            "checkpoint",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(image))],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, list(answer))],
            list(self._held.values()),
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )

    def _hold(self, name: str, values: NDArray[Any]) -> str:
        self._held[name] = numpy_helper.from_array(values, name)
        return name

    def _weight(self, name: str) -> Floats:
        return self.state.floats(f"{name}.weight")

    def _bias(self, name: str) -> Floats | None:
        return self.state.floats(f"{name}.bias") if f"{name}.bias" in self.state.tensors else None

    def _folded(
        self, weight: Floats, bias: Floats | None, norm: str, epsilon: float
    ) -> tuple[Floats, Floats]:
        scale, shift, mean, variance = (
            self.state.floats(f"{norm}.{part}").astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + epsilon)
        own = np.zeros_like(mean) if bias is None else bias.astype(np.float64)
        whole = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        return whole.astype(np.float32), (shift + (own - mean) * factor).astype(np.float32)


def _gates(values: Floats) -> Floats:
    """[4 hidden, ...] in ONNX's order."""
    parts = np.split(values, 4)
    return np.concatenate([parts[place] for place in _GATES])
