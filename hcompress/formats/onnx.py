"""Where the weights lie in an ONNX file, without onnx: initialisers and constants of the
graph, of Loop and If bodies and of local functions, in the file or in external data.

The field numbers are those of onnx.proto, which never reuses one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hcompress.errors import InputRefused
from hcompress.formats.layout import Layout, Piece
from hcompress.formats.onnx_control import ControlFlow
from hcompress.formats.onnx_external import ExternalData
from hcompress.formats.protobuf import BYTES, VARINT, Field, Wire
from hcompress.strict.files import open_regular, quoted, shown

MAX_METADATA = 16 << 20
MAX_NAME = 4096
MAX_DIMS = 64
MAX_TENSORS = 50_000
# protobuf itself stops at 100 messages; a Loop in an If in a Loop has 12.
MAX_NESTING = 60
# Message → its fields that are messages worth entering.
_INSIDE: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
}
# Message → its fields that stand there once: of two, protobuf takes the last, or merges both.
_ONCE: dict[str, frozenset[int]] = {
    "Model": frozenset((2, 3, 4, 5, 6)),
    "Training": frozenset((1, 2)),
    "Graph": frozenset((2, 10)),
    "Function": frozenset((1, 8, 10, 13)),
    "Node": frozenset((3, 4, 6, 7, 8)),
    "Attribute": frozenset((1, 2, 3, 4, 5, 6, 13, 14, 20, 21, 22)),
    "Sparse": frozenset((1, 2)),
    "Tensor": frozenset((2, 3, 8, 12, 14)),
    "StringStringEntry": frozenset((1, 2)),
}
_ENUM = 0xFFFF_FFFF
"""protobuf keeps this much of a number that is one of a few."""
# What a model's own graph is, and how deep it lies.
_MAIN = ("Graph", 1)
# A constant has no name of its own: the first output of its node names it.
_NODE_OUTPUT = 2
_STRING = 8
_BITS: dict[int, int] = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64,
    14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
    25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
# Types of whole bytes under safetensors' names.
_NAMES: dict[int, str] = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16",
    11: "F64", 12: "U32", 13: "U64", 16: "BF16",
}  # fmt: skip
_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14
_STRINGS = 6
_OPSET = 8
# What every copy that onnxruntime saves takes its operators from, and no exporter does.
_ORT_ONLY = "com.microsoft.nchwc"
_TYPED = frozenset((4, 5, 7, 10, 11))
_FIXED_WIDTH = {4: 4, 10: 8}


@dataclass(slots=True)
class _Tensor:
    """One TensorProto as far as it has been read."""

    name: str = ""
    type: int = 0
    dims: list[int] = field(default_factory=list)
    data: Field | None = None
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        return -(-self.elements * _BITS[self.type] // 8)

    @property
    def plain(self) -> str | None:
        """safetensors' name for its type, if its data are raw."""
        raw = self.data is not None and self.data.number == _RAW
        return _NAMES.get(self.type) if raw else None


def layout(path: Path) -> Layout:
    """Where every weight lies; ``bytes`` is the model file plus its external data files.

    Raises InputRefused where the file is no ONNX model, is damaged, or points outside of its
    folder.
    """
    with open_regular(path) as (stream, size):
        walk = _Walk(Wire(stream, size, path), path)
        walk.model(size)
        control = tuple(walk.control.found(stream, path))
    pieces = (*walk.pieces, *walk.external.pieces())
    total = size + walk.external.bytes
    return Layout(
        path, total, pieces, walk.metadata, walk.properties, control, optimised=walk.optimised
    )


class _Walk:
    """Collects the weights of one model, depth first, in file order."""

    def __init__(self, wire: Wire, path: Path) -> None:
        self.pieces: list[Piece] = []
        self.metadata: str | None = None
        self.optimised = False
        self.properties: dict[str, str] = {}
        self.external = ExternalData(path)
        self.control = ControlFlow(wire)
        self._wire = wire
        self._path = path
        self._tensors = 0

    def model(self, size: int) -> None:
        """Walk the whole file, which must be one ModelProto with exactly one graph."""
        graphs = versions = 0
        for item in self._fields("Model", Field(0, BYTES, 0, size, 0)):
            if item.number == 1:
                if item.wire != VARINT or not 0 < item.value < 1000:
                    raise self._refused("is no ONNX model: no valid IR version")
                versions += 1
            elif item.number == 14:
                self._property(item)
            elif item.number == _OPSET and item.wire == BYTES:
                self.optimised |= self._domain(item) == _ORT_ONLY
            graphs += item.number == 7
            self._enter("Model", item, "", 0)
        if graphs != 1 or versions != 1:
            raise self._refused("is no ONNX model: it needs one graph and one IR version")

    def _fields(self, kind: str, outer: Field) -> Iterator[Field]:
        """Those of a message. Raises InputRefused if one is there twice that can be there once."""
        once, seen = _ONCE[kind], set[int]()
        for item in self._wire.fields(outer.start, outer.end):
            number = item.number
            if number in seen:
                raise self._wire.refused(f"field {number} of a {kind} is there twice")
            if number in once:
                seen.add(number)
            yield item

    def _enter(self, kind: str, item: Field, hint: str, depth: int) -> str:
        """Walk a field that may hold weights; the name for what stands beside it."""
        inner = _INSIDE[kind].get(item.number)
        if inner is None:
            return hint
        if item.wire != BYTES:
            raise self._wire.refused(f"field {item.number} of a {kind} is no message")
        if depth > MAX_NESTING:
            raise self._refused(f"messages are nested deeper than {MAX_NESTING}")
        if inner == "Tensor":
            name = self._tensor(item, hint)
            if (kind, depth) == _MAIN:
                self.control.initialiser(self.pieces, name)
            # A sparse tensor's values are named, its indices are not.
            return name if kind == "Sparse" else hint
        self._message(inner, item, hint, depth + 1, nested=(kind, depth) != _MAIN)
        return hint

    def _message(self, kind: str, outer: Field, hint: str, depth: int, nested: bool) -> None:
        for item in self._fields(kind, outer):
            if kind == "Node" and item.number == _NODE_OUTPUT and item.wire == BYTES:
                hint = hint if item.start == item.end else self._wire.text(item, MAX_NAME)
                self.control.made(hint)
            elif kind == "Node":
                self.control.node(outer, item, nested=nested)
            hint = self._enter(kind, item, hint, depth)

    def _tensor(self, outer: Field, hint: str) -> str:
        """Note one TensorProto's weights; returns its name."""
        self._tensors += 1
        if self._tensors > MAX_TENSORS:
            raise self._refused(f"has more than {MAX_TENSORS} tensors")
        tensor = _Tensor(name=hint)
        for item in self._fields("Tensor", outer):
            self._tensor_field(tensor, item)
        where = f"{shown(self._path)}: tensor {quoted(tensor.name)}"
        outside = tensor.is_external or bool(tensor.external)
        if tensor.type == _STRING and not outside:
            return tensor.name  # texts are structure, not weights
        if tensor.type not in _BITS:
            raise InputRefused(f"{where}: unknown data type {tensor.type}")
        if outside:
            if tensor.data is not None:
                raise InputRefused(f"{where}: has data both inside and outside of the file")
            self.external.add(tensor.name, tensor.elements, tensor.bytes, tensor.external)
            return tensor.name
        held = self._check_held(tensor, where)
        start = tensor.data.start if tensor.data else outer.end
        self.pieces.append(Piece(
            tensor.name, tensor.elements, held, self._path, start, tensor.plain, tuple(tensor.dims)
        ))  # fmt: skip
        return tensor.name

    def _tensor_field(self, tensor: _Tensor, item: Field) -> None:
        number = item.number
        if number == _DIMS:
            tensor.dims += self._dims(item)
            if len(tensor.dims) > MAX_DIMS:
                raise self._wire.refused(f"a tensor of more than {MAX_DIMS} dimensions")
        elif number == _TYPE and item.wire == VARINT:
            tensor.type = item.value & _ENUM
        elif number == _NAME:
            tensor.name = self._wire.text(item, MAX_NAME) or tensor.name
        elif number == _LOCATION and item.wire == VARINT:
            tensor.is_external = item.value & _ENUM == 1
        elif number == _EXTERNAL:
            key, value = self._pair(item, MAX_NAME)
            if key in tensor.external:
                raise self._wire.refused(f"external data says {quoted(key)} twice")
            tensor.external[key] = value
        elif number == _RAW or number in _TYPED:
            if item.wire != BYTES or tensor.data is not None:
                raise self._wire.refused(f"data of a tensor at byte {item.start} is in pieces")
            tensor.data = item

    def _dims(self, item: Field) -> list[int]:
        """A repeated int64: one number a field, or many packed into one."""
        dims = [item.value] if item.wire == VARINT else []
        if item.wire == BYTES:
            position = item.start
            while position < item.end and len(dims) <= MAX_DIMS:
                value, position = self._wire.varint(position, item.end)
                dims.append(value)
        if any(size >= 1 << 63 for size in dims):
            raise self._wire.refused(f"a negative dimension at byte {item.start}")
        return dims

    def _check_held(self, tensor: _Tensor, where: str) -> int:
        """Bytes of data in the file; they must suit the shape and the type."""
        held = tensor.data.end - tensor.data.start if tensor.data else 0
        number = tensor.data.number if tensor.data else _RAW
        if number == _RAW:
            fits = held == tensor.bytes
        elif number in _FIXED_WIDTH:
            width = _FIXED_WIDTH[number]
            fits = held == max(tensor.bytes // width, tensor.elements) * width
        else:  # varints: one to ten bytes a number, or two packed 4-bit numbers
            fits = held <= 20 * max(tensor.elements, 1) and (held > 0) == (tensor.elements > 0)
            fits = fits and (held >= tensor.elements or _BITS[tensor.type] < 8)
        if not fits:
            raise InputRefused(
                f"{where}: shape and type ask for {tensor.bytes} bytes, the file holds {held}"
            )
        return held

    def _domain(self, outer: Field) -> str:
        """Of an OperatorSetIdProto."""
        named = [f for f in self._wire.fields(outer.start, outer.end) if f.number == 1]
        return self._wire.text(named[-1], MAX_NAME) if named else ""

    def _property(self, item: Field) -> None:
        key, value = self._pair(item, MAX_METADATA)
        if key == "hcompress":
            if self.metadata is not None:
                raise self._refused('metadata "hcompress" stands there twice')
            self.metadata = value
        else:
            self.properties[key] = value

    def _pair(self, outer: Field, limit: int) -> tuple[str, str]:
        """A StringStringEntryProto."""
        if outer.wire != BYTES:
            raise self._wire.refused(f"field {outer.number} at byte {outer.start} is no message")
        texts = {1: "", 2: ""}
        for item in self._fields("StringStringEntry", outer):
            if item.number in texts:
                texts[item.number] = self._wire.text(item, limit)
        return texts[1], texts[2]

    def _refused(self, what: str) -> InputRefused:
        return InputRefused(f"{shown(self._path)}: {what}")
