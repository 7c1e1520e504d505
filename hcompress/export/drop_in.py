"""A foreign recogniser made smaller, held against the one whose place it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto

from hcompress.errors import InputRefused, NumericalError
from hcompress.foreign.frames import Frames
from hcompress.metrics import mean, similarity
from hcompress.spec.header import KEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import ForeignModel

LEAST_LIKE: Final = 0.8
"""Mean similarity of texts below which the file does not take the other's place."""


def drop_in(
    model: ForeignModel,
    stored: ModelProto,
    original: ForeignModel | None,
    images: Sequence[NDArray[np.uint8]],
    threads: int,
) -> tuple[ModelProto, Mapping[str, Any]]:
    """The graph to write, and what comparing it with the original's gave.

    Raises NumericalError if its inputs or outputs are others, or it reads other texts;
    InputRefused if the original reads none.
    """
    made = tidied(stored)
    if original is None:
        return made, {"lines": 0}
    for mine, theirs in (
        (made.graph.input, original.proto.graph.input),
        (made.graph.output, original.proto.graph.output),
    ):
        if model.spec.answers is not original.spec.answers and mine is made.graph.output:
            continue  # ids were asked for in place of scores
        if [_end(one) for one in mine] != [_end(one) for one in theirs]:
            raise NumericalError("drop-in: inputs or outputs differ from the original's")
    said = {one.key: one.value for one in made.metadata_props}
    gone = [
        one.key for one in original.proto.metadata_props
        if one.key != KEY and said.get(one.key) != one.value
    ]  # fmt: skip
    if gone:
        raise NumericalError(f"drop-in: metadata {', '.join(gone)} differ from the original's")
    graphs = ((made, model), (original.proto, original))
    texts = [_texts(proto, whose, images, threads) for proto, whose in graphs]
    same = mean(one == other for one, other in zip(*texts, strict=True))
    if not any(texts[1]):
        raise InputRefused("drop-in: the original reads nothing on these lines: are they lines?")
    like = mean(similarity(other, one) for one, other in zip(*texts, strict=True))
    if like < LEAST_LIKE:
        raise NumericalError(
            f"drop-in: reads {like:.0%} of what the original reads: distil longer, or take more"
            " bits"
        )
    return made, {"lines": len(images), "same_text": same, "similarity": like}


def _texts(
    proto: ModelProto, model: ForeignModel, images: Sequence[NDArray[np.uint8]], threads: int
) -> list[str]:
    frames = Frames(proto.SerializeToString(), model.spec, threads)
    return [model.spec.text(line.ids.tolist()) for line in frames.lines(images)]


def _end(value: Any) -> bytes:
    made: bytes = value.SerializeToString(deterministic=True)
    return made


def tidied(stored: ModelProto) -> ModelProto:
    """A copy without what nothing runs on: documentation and the names of nodes."""
    made = ModelProto()
    made.CopyFrom(stored)
    made.doc_string = made.graph.doc_string = ""
    for node in made.graph.node:
        node.ClearField("doc_string")
        node.ClearField("name")
    return made
