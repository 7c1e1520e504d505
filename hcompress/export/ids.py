"""A foreign recogniser that answers each frame's best class and how sure it is, and no scores.

Where it runs on another device, or another language reads it, [N, T, V] scores are megabytes that
nobody looks at. N images, T frames, V classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hcompress.errors import InputRefused
from hcompress.spec.exported import CONFIDENCE, IDS
from hcompress.spec.foreign import Answers

if TYPE_CHECKING:
    from hcompress.foreign.model import ForeignModel

_AXES_AS_INPUT: Final = 18
"""The opset from which ReduceMax is given its axes as a value."""
_CLASSES: Final = 2
"""The axis of scores that is the classes'."""


def with_ids(model: ForeignModel, stored: ModelProto) -> tuple[ForeignModel, ModelProto]:
    """What the model means so, and the stored graph with `ids` int64 [N, T] and `confidence` [N, T]
    in its output's place; [T, N] if its frames came first.

    Raises InputRefused if it answers no scores, or has values of these names.
    """
    if model.spec.answers is Answers.IDS:
        raise InputRefused("it answers ids already")
    made = ModelProto()
    made.CopyFrom(stored)
    graph = made.graph
    if {IDS, CONFIDENCE} & {name for node in graph.node for name in node.output}:
        raise InputRefused(f"it has values called {IDS} or {CONFIDENCE}: rename them first")
    scores = graph.output[0].name
    shares = f"{CONFIDENCE}.shares"
    graph.node.append(helper.make_node("ArgMax", [scores], [IDS], axis=_CLASSES, keepdims=0))
    if model.spec.answers is Answers.PROBABILITIES:
        shares = scores
    elif model.spec.answers is Answers.LOGITS:
        graph.node.append(helper.make_node("Softmax", [scores], [shares], axis=_CLASSES))
    else:
        graph.node.append(helper.make_node("Exp", [scores], [shares]))
    _greatest(made, shares)
    dims = graph.output[0].type.tensor_type.shape.dim
    sides = [one.dim_param or one.dim_value or None for one in dims][:_CLASSES] or None
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info(IDS, TensorProto.INT64, sides),
            helper.make_tensor_value_info(CONFIDENCE, TensorProto.FLOAT, sides),
        ]
    )
    return replace(model, spec=replace(model.spec, answers=Answers.IDS)), made


def _greatest(made: ModelProto, shares: str) -> None:
    opset = next(one.version for one in made.opset_import if one.domain in ("", "ai.onnx"))
    if opset < _AXES_AS_INPUT:
        node = helper.make_node("ReduceMax", [shares], [CONFIDENCE], axes=[_CLASSES], keepdims=0)
    else:
        name = f"{CONFIDENCE}.axes"
        made.graph.initializer.append(numpy_helper.from_array(np.array([_CLASSES]), name))
        node = helper.make_node("ReduceMax", [shares, name], [CONFIDENCE], keepdims=0)
    made.graph.node.append(node)
