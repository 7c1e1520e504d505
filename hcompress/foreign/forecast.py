"""How large a foreign recogniser will be once a stage stores it otherwise: by shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from hcompress.errors import InputRefused
from hcompress.foreign.header import foreign_header
from hcompress.foreign.parts import parts_of
from hcompress.sizes.groups import CLASSIFIER
from hcompress.strict.files import shown

if TYPE_CHECKING:
    from onnx import ModelProto

    from hcompress.foreign.model import Classifier
    from hcompress.formats.open import ModelFile


@dataclass(frozen=True)
class ForeignForecast:
    """A file that `import` wrote or will write, or what a stage will make of it."""

    classes: int
    """Those that an encoding stores: what is never answered has one row in common."""
    features: int
    """d; 0 if the classifier is encoded."""
    head: int
    """Bytes of the classifier."""
    body: tuple[tuple[int, ...], ...]
    """Shapes of the body's weights that are floats."""
    body_bytes: int
    """Of all of the body's weights."""
    rest: int
    """Bytes of what no stage stores otherwise: graph, charset, header."""

    @property
    def bytes(self) -> int:
        """About what the file weighs."""
        return self.head + self.body_bytes + self.rest


def forecast_of(file: ModelFile) -> ForeignForecast | None:
    """A file made here as it is, any other as `import` writes it, every weight a float.

    None if it is damaged or its classifier can't be told.
    """
    from hcompress.foreign.graph import load_graph
    from hcompress.foreign.identify import NoClassifierError, find_classifier

    try:
        proto = load_graph(file)
        part = find_classifier(proto, shown(file.path)).classifier
        made_here = foreign_header(file) is not None
        groups = parts_of(file).groups
    except (InputRefused, NoClassifierError):
        return None
    pieces = file.layout.pieces
    rest = file.layout.bytes - sum(piece.bytes for piece in pieces)
    live = part.classes - _dead(proto, part)
    if not made_here:
        shapes = _body(proto, part)
        head = 4 * part.classes * (part.width + 1)
        return ForeignForecast(live, part.width, head, shapes, 4 * _count(shapes), rest)
    heads = [piece for piece in pieces if groups.get(piece.name) == CLASSIFIER]
    bodies = [piece for piece in pieces if groups.get(piece.name) != CLASSIFIER]
    return ForeignForecast(
        live,
        part.width if part.weight in {piece.name for piece in heads} else 0,
        sum(piece.bytes for piece in heads),
        tuple(piece.shape for piece in bodies if piece.type == "F32"),
        sum(piece.bytes for piece in bodies),
        rest,
    )


def _body(proto: ModelProto, part: Classifier) -> tuple[tuple[int, ...], ...]:
    from onnx import TensorProto

    return tuple(
        tuple(one.dims)
        for one in proto.graph.initializer
        if one.data_type == TensorProto.FLOAT and one.name not in (part.weight, part.bias)
    )


def _count(shapes: Sequence[Sequence[int]]) -> int:
    return sum(map(prod, shapes))


def _dead(proto: ModelProto, part: Classifier) -> int:
    from hcompress.foreign.dead import dead_classes
    from hcompress.foreign.model import class_weights

    return len(dead_classes(*class_weights(proto, part)))
