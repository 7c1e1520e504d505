"""The names a torch.save file may contain, and what each is made into: plain records."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hcompress.errors import InputRefused
from hcompress.strict.files import quoted

MAX_DIMS = 64
BITS: dict[str, int] = {
    "bool": 8, "uint8": 8, "int8": 8, "int16": 16, "int32": 32, "int64": 64,
    "uint16": 16, "uint32": 32, "uint64": 64,
    "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64,
    "complex64": 64, "complex128": 128,
    "float8_e4m3fn": 8, "float8_e5m2": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8,
    "float8_e8m0fnu": 8,
    "qint8": 8, "quint8": 8, "qint32": 32, "quint4x2": 4,
}  # fmt: skip
_COUNTED_IN_BYTES = frozenset(("quint4x2",))
"""Of whose storages the pickle counts the bytes: several elements share one."""
_STORAGES = {
    "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16",
    "IntStorage": "int32", "LongStorage": "int64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "FloatStorage": "float32", "DoubleStorage": "float64",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
}  # fmt: skip
_SCHEMES = ("per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams")


@dataclass(frozen=True, slots=True)
class Global:
    """An allowed name. ``kind``: "storage", "dtype", "scheme" of quantisation, or "function";
    ``type``: a dtype's name."""

    name: str
    kind: str
    type: str


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A member of the archive: its key under ``data/`` and its count of ``dtype`` elements."""

    key: str
    dtype: str
    count: int

    @property
    def bytes(self) -> int:
        """Bytes its member must have."""
        bits = 8 if self.dtype in _COUNTED_IN_BYTES else BITS[self.dtype]
        return self.count * bits // 8


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A strided view into a storage; ``offset`` and ``stride`` in elements of ``dtype``."""

    storage: StorageRef
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Product of the shape."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """One past the highest element of the storage it touches."""
        if not self.elements:
            return self.offset
        spans = (size - 1 for size in self.shape)
        return self.offset + 1 + sum(n * s for n, s in zip(spans, self.stride, strict=True))


@dataclass(slots=True)
class Packed:
    """An object of torch's engine, such as a quantised LSTM's weights, and what it holds."""

    state: list[Any] = field(default_factory=list)


def rebuild(target: Global, arguments: tuple[Any, ...], where: str) -> Any:
    """What the pickle would have called, as a plain record. Raises InputRefused."""
    builder = _BUILDERS.get(target.name)
    if builder is None:
        raise InputRefused(f"{where}: pickle calls {quoted(target.name)}, which is no function")
    return builder(arguments, where)


def _tensor_v2(arguments: tuple[Any, ...], where: str) -> TensorRef:
    match arguments:
        case (StorageRef() as storage, int(offset), tuple(shape), tuple(stride), bool(), *_):
            return _tensor(storage, storage.dtype, offset, (shape, stride), where)
    raise InputRefused(f"{where}: a tensor's description is malformed")


def _tensor_v3(arguments: tuple[Any, ...], where: str) -> TensorRef:
    match arguments:
        case (
            StorageRef() as storage, int(offset), tuple(shape), tuple(stride), bool(), _,
            Global(kind="dtype") as dtype, *_,
        ):  # fmt: skip
            return _tensor(storage, dtype.type, offset, (shape, stride), where)
    raise InputRefused(f"{where}: a tensor's description is malformed")


def _tensor(
    storage: StorageRef,
    dtype: str,
    offset: int,
    extent: tuple[tuple[Any, ...], tuple[Any, ...]],
    where: str,
) -> TensorRef:
    shape, stride = extent
    where = f"{where}: a tensor in storage {quoted(storage.key)}"
    if len(shape) != len(stride) or len(shape) > MAX_DIMS:
        raise InputRefused(f"{where}: shape and stride do not match")
    if any(type(n) is not int or n < 0 for n in (offset, *shape, *stride)):
        raise InputRefused(f"{where}: shape, stride or offset is not a whole number")
    tensor = TensorRef(storage, dtype, offset, shape, stride)
    held = storage.bytes * 8 // BITS[dtype]
    # Strides of zero let a few bytes declare terabytes: whoever copies the tensor pays.
    if tensor.elements > held:
        raise InputRefused(f"{where}: declares {tensor.elements} elements, storage has {held}")
    if tensor.end > held:
        raise InputRefused(f"{where}: reaches past the storage's {held} elements")
    return tensor


def _quantised(arguments: tuple[Any, ...], where: str) -> Any:
    """The tensor; if its channels have scales of their own, these beside it."""
    match arguments:
        case (
            StorageRef() as storage, int(offset), tuple(shape), tuple(stride),
            (Global(kind="scheme"), *how), bool(), *_,
        ) if storage.dtype.startswith("q"):  # fmt: skip
            tensor = _tensor(storage, storage.dtype, offset, (shape, stride), where)
            match how:
                case (float(), int()):
                    return tensor
                case (TensorRef() as scales, TensorRef() as zeros, int()):
                    return {"weight": tensor, "scales": scales, "zero_points": zeros}
    raise InputRefused(f"{where}: a quantised tensor's description is malformed")


def _packed(arguments: tuple[Any, ...], where: str) -> Packed:
    if arguments:
        raise InputRefused(f"{where}: packed weights are malformed")
    return Packed()


def _parameter(arguments: tuple[Any, ...], where: str) -> TensorRef:
    if arguments and isinstance(arguments[0], TensorRef):
        return arguments[0]
    raise InputRefused(f"{where}: a parameter's description is malformed")


def _ordered_dict(arguments: tuple[Any, ...], where: str) -> dict[Any, Any]:
    if arguments:  # filled by SETITEMS, never by an argument
        raise InputRefused(f"{where}: an OrderedDict's description is malformed")
    return {}


def _sequence(arguments: tuple[Any, ...], where: str) -> Any:
    """torch.Size and sets: a sequence suffices, and hashes nothing."""
    match arguments:
        case ((tuple() | list()) as values,):
            return values
    raise InputRefused(f"{where}: a set's or a size's description is malformed")


def _device(arguments: tuple[Any, ...], where: str) -> str:
    match arguments:
        case (str(kind),):
            return kind
        case (str(kind), int()):
            return kind
    raise InputRefused(f"{where}: a device's description is malformed")


def _latin1(arguments: tuple[Any, ...], where: str) -> str:
    """How protocol 2 writes bytes: ``_codecs.encode(text, "latin1")``.

    The text stands for them: one text may be named a hundred thousand times, and is not copied.
    """
    match arguments:
        case (str(text), "latin1"):
            return text
    raise InputRefused(f"{where}: bytes are malformed")


_BUILDERS: dict[str, Callable[[tuple[Any, ...], str], Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.ScriptObject": _packed,
    "torch.Size": _sequence,
    "torch.device": _device,
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": _latin1,
    "__builtin__.set": _sequence,
    "builtins.set": _sequence,
}
GLOBALS: dict[str, Global] = {
    **{name: Global(name, "function", "") for name in _BUILDERS},
    **{f"torch.{name}": Global(name, "storage", dtype) for name, dtype in _STORAGES.items()},
    "torch.storage.UntypedStorage": Global("UntypedStorage", "storage", "uint8"),
    **{f"torch.{name}": Global(name, "dtype", name) for name in BITS},
    **{f"torch.{name}": Global(name, "scheme", "") for name in _SCHEMES},
}
"""Every name a checkpoint may contain. Nothing here is ever imported or called."""
