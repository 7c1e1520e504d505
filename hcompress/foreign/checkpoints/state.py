"""The tensors of a checkpoint, by name, and the plain values that lie beside them.

Neither torch nor a pickle is run. A tensor's bytes are read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.errors import InputRefused, NumericalError
from hcompress.formats.open import Format, ModelFile
from hcompress.formats.torchsave import contents
from hcompress.formats.torchsave_types import TensorRef
from hcompress.strict.files import quoted, read_exactly, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.formats.layout import Piece

    Floats = NDArray[np.float32]

MOST_BYTES: Final = 1 << 30
"""Bytes of a checkpoint: no line recogniser comes near."""
_WRAPPERS: Final = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
_DEEPEST: Final = 3
"""Tables in tables in which a state_dict is looked for."""
_KINDS: Final[Mapping[str, str]] = {
    "float16": "<f2", "F16": "<f2", "float32": "<f4", "F32": "<f4", "float64": "<f8",
    "F64": "<f8", "bfloat16": "<u2", "BF16": "<u2",
}  # fmt: skip
"""How elements lie in memory; bfloat16 is the upper half of a float32."""
_UPPER_HALVES: Final = ("bfloat16", "BF16")


@dataclass(frozen=True)
class Tensor:
    """A tensor that can be read."""

    shape: tuple[int, ...]
    floats: Callable[[], Floats]
    """Its values, [shape]. Raises InputRefused if they are damaged or no floats."""


@dataclass(frozen=True)
class State:
    """A checkpoint's tensors, and what else it says."""

    where: str
    """The file, for people."""
    tensors: Mapping[str, Tensor]
    """By name, without what wraps every name."""
    said: Mapping[str, Any]
    """Plain values beside the tensors, by key."""

    def floats(self, name: str) -> Floats:
        """A tensor's values, [shape]. Raises NumericalError if one is not finite."""
        values = self.tensors[name].floats()
        if not np.isfinite(values).all():
            raise NumericalError(f"{self.where}: tensor {quoted(name)} is damaged: not finite")
        return values


def read_state(file: ModelFile) -> State:
    """The largest table of tensors in a file of torch.save's or safetensors.

    Raises InputRefused if it is damaged, too large, or has none.
    """
    where = shown(file.path)
    if file.layout.bytes > MOST_BYTES:  # the layout has checked structure and CRCs
        raise InputRefused(
            f"{where}: {file.layout.bytes:,} bytes: no line recogniser is larger than"
            f" {MOST_BYTES:,}"
        )
    tensors, said = _torch(file, where) if file.format is Format.TORCH else (_safe(file), {})
    if not tensors:
        raise InputRefused(f"{where}: holds no tensors: save the model's state_dict")
    return State(where, _unwrapped(tensors), said)


def _unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name.removeprefix(wrapper): one for name, one in tensors.items()})
    return tensors


def _safe(file: ModelFile) -> dict[str, Tensor]:
    def reader(piece: Piece) -> Callable[[], Floats]:
        def floats() -> Floats:
            with file.stream() as stream:
                data = read_exactly(stream, piece.offset, piece.bytes, file.path)
            return _numbers(data, str(piece.type), piece.name, file).reshape(piece.shape)

        return floats

    return {one.name: Tensor(one.shape, reader(one)) for one in file.layout.pieces}


def _torch(file: ModelFile, where: str) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    with file.stream() as stream:
        held = contents(stream, file.path)

    def reader(name: str, ref: TensorRef) -> Callable[[], Floats]:
        def floats() -> Floats:
            with file.stream() as stream:
                data = held.read(stream, ref)
            return _strided(_numbers(data, ref.dtype, name, file), ref)

        return floats

    top = held.structure if isinstance(held.structure, dict) else {}
    best = max(_tables(top, 0, set()), key=_count, default={})
    tensors = {
        str(name): Tensor(one.shape, reader(str(name), one))
        for name, one in best.items()
        if isinstance(one, TensorRef)
    }
    if len(tensors) != _count(best):
        raise InputRefused(f"{where}: two tensors of one name")
    said = {str(key): one for key, one in top.items() if not isinstance(one, TensorRef)}
    return tensors, said


def _tables(table: Mapping[Any, Any], depth: int, seen: set[int]) -> Iterator[Mapping[Any, Any]]:
    """A table and those in it, each once, however often the file names it."""
    seen.add(id(table))
    yield table
    if depth < _DEEPEST:
        for one in table.values():
            if isinstance(one, dict) and id(one) not in seen:
                yield from _tables(one, depth + 1, seen)


def _count(table: Mapping[Any, Any]) -> int:
    return sum(isinstance(one, TensorRef) for one in table.values())


def _numbers(data: bytes, kind: str, name: str, file: ModelFile) -> Floats:
    """A storage's elements, [count], as float32."""
    if kind not in _KINDS:
        raise InputRefused(f"{shown(file.path)}: tensor {quoted(name)} is of {kind}, no floats")
    size = np.dtype(_KINDS[kind]).itemsize
    values = np.frombuffer(data[: len(data) // size * size], _KINDS[kind])
    if kind in _UPPER_HALVES:
        return (values.astype("<u4") << 16).view("<f4")
    return values.astype(np.float32)


def _strided(values: Floats, ref: TensorRef) -> Floats:
    """A view into a storage, copied. That it lies within was checked when the pickle was read."""
    size = values.itemsize
    view = np.lib.stride_tricks.as_strided(
        values[ref.offset :], ref.shape, [size * step for step in ref.stride], writeable=False
    )
    return np.ascontiguousarray(view)
