"""How large a foreign recogniser will be once a stage stores it otherwise: by shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Final

from hcompress.errors import InputRefused
from hcompress.foreign.header import foreign_header
from hcompress.foreign.parts import parts_of
from hcompress.sizes.groups import CLASSIFIER
from hcompress.strict.files import shown

if TYPE_CHECKING:
    from onnx import ModelProto

    from hcompress.foreign.model import Classifier
    from hcompress.formats.layout import Piece
    from hcompress.formats.open import ModelFile


_LISTED: Final = 4
"""Bytes of a class in a list: three of UTF-8 and a line break in metadata, less in a header."""


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
    listed: int = 0
    """All classes, stored or not."""

    @property
    def bytes(self) -> int:
        """About what the file weighs."""
        return self.head + self.body_bytes + self.rest

    def with_more(self, count: int) -> ForeignForecast | None:
        """With so many classes more. None of an encoded head: how many features there are is not
        known of it."""
        if not self.features:
            return None
        return replace(
            self,
            classes=self.classes + count,
            listed=self.listed + count,
            head=self.head + 4 * count * (self.features + 1),
            rest=self.rest + _LISTED * count,
        )

    def with_classes(self, count: int, *, renumbered: bool) -> ForeignForecast:
        """With so many of its classes: of those left out nothing is stored, or a bit each."""
        kept = min(count, self.listed)
        live = min(self.classes, kept)
        stored = self.listed if self.features else max(self.classes, 1)
        head = self.head * (kept if self.features else live) // stored
        if not renumbered:
            return replace(self, classes=live, head=head + self.listed // 4)
        gone = _LISTED * (self.listed - kept)
        return replace(self, classes=live, head=head, rest=max(0, self.rest - gone), listed=kept)


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
        whole = 4 * _count(shapes)
        return ForeignForecast(live, part.width, head, shapes, whole, rest, part.classes)
    heads = [piece for piece in pieces if groups.get(piece.name) == CLASSIFIER]
    bodies = [piece for piece in pieces if groups.get(piece.name) != CLASSIFIER]
    return ForeignForecast(
        live,
        part.width if _in_floats(part, heads) else 0,
        sum(piece.bytes for piece in heads),
        tuple(piece.shape for piece in bodies if piece.type == "F32"),
        sum(piece.bytes for piece in bodies),
        rest,
        part.classes,
    )


def _in_floats(part: Classifier, heads: Sequence[Piece]) -> bool:
    """Whether an encoding can take it: floats, or floats of which some rows are in common."""
    names = {piece.name for piece in heads}
    return part.weight in names or any(name.endswith(".float") for name in names)


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
