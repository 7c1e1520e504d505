"""onnxsim, where it makes a file smaller and leaves the weights alone."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from hcompress.compute.bounds import no_telemetry
from hcompress.spec.header import KEY


@dataclass(frozen=True)
class Simplified:
    """A model's bytes, and what onnxsim would have made of them."""

    data: bytes
    written: int
    """Bytes as we wrote it."""
    simplified: int
    """Bytes after onnxsim."""
    kept: bool
    """Whether onnxsim's is the one in ``data``."""
    why: str


def simplify(model: onnx.ModelProto, weights: frozenset[str]) -> Simplified:
    """The smaller of the model and its simplification.

    onnxsim's is taken only where every initialiser among ``weights`` is still there, byte for
    byte: it may merge or fold tensors, and a breakdown could not tell what they were.
    """
    no_telemetry()
    import onnxsim  # it imports onnxruntime

    before = model.SerializeToString(deterministic=True)
    simple, same = onnxsim.simplify(model)
    _strip(simple)
    after = simple.SerializeToString(deterministic=True)
    why = "smaller"
    if not same:
        why = "onnxsim could not show that it computes the same"
    elif _contents(simple, weights) != _contents(model, weights):
        why = "onnxsim's folds or merges weights"
    elif len(after) >= len(before):
        why = "onnxsim's is no smaller"
    kept = why == "smaller"
    return Simplified(after if kept else before, len(before), len(after), kept, why)


def _strip(model: onnx.ModelProto) -> None:
    """What no runtime needs: onnxsim's log, shapes, names of nodes."""
    ours = [entry for entry in model.metadata_props if entry.key == KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(ours)
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        del graph.value_info[:]
        for node in graph.node:
            node.ClearField("name")
            node.ClearField("doc_string")
            graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def _contents(model: onnx.ModelProto, names: frozenset[str]) -> dict[str, bytes]:
    return {t.name: t.raw_data for t in model.graph.initializer if t.name in names}
