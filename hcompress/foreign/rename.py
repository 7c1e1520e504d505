"""Short names for everything inside of a graph: names are bytes, and say which part is meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onnx import ModelProto

from hcompress.foreign.model import ForeignModel

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY: Final = "backbone"
HEAD: Final = "classifier"
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def renamed(model: ForeignModel) -> ForeignModel:
    """The same model: inputs and outputs keep their names, nodes lose theirs.

    Weights are called by their part, so that a size breakdown can tell whose they are.
    """
    made = ModelProto()
    made.CopyFrom(model.proto)
    graph, part = made.graph, model.classifier
    names = {one.name: one.name for one in (*graph.input, *graph.output)}
    names[part.weight] = f"{HEAD}.weight"
    if part.bias is not None:
        names[part.bias] = f"{HEAD}.bias"
    fresh = _names(frozenset(names))
    for one in graph.initializer:
        one.name = names.setdefault(one.name, f"{BODY}.{next(fresh)}")
    for node in graph.node:
        node.ClearField("name")
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                if name:
                    ends[place] = names.setdefault(name, next(fresh) if name not in names else "")
    del graph.value_info[:]
    return replace(
        model,
        proto=made,
        classifier=replace(
            part,
            features=names[part.features],
            scores=names[part.scores],
            weight=names[part.weight],
            bias=None if part.bias is None else names[part.bias],
        ),
    )


def _names(taken: frozenset[str]) -> Iterator[str]:
    """Base 36, after a letter; none of those taken."""
    number = 0
    while True:
        rest, text = number, ""
        while rest or not text:
            rest, digit = divmod(rest, 36)
            text = _DIGITS[digit] + text
        number += 1
        if "v" + text not in taken:
            yield "v" + text
