"""The sizes in torch.save files (.pt, .pth), and what they hold, without torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

from hcompress.errors import InputRefused
from hcompress.formats import torchsave_pickle as plainpickle
from hcompress.formats.layout import Layout, Piece
from hcompress.formats.torchsave_types import BITS, Packed, TensorRef
from hcompress.formats.torchsave_zip import Member, members, verified
from hcompress.strict.files import open_regular, quoted, shown

MAX_DEPTH = 32
MAX_NAME = 1024


@dataclass(frozen=True, slots=True)
class _Archive:
    path: Path
    members: dict[str, Member]
    root: str

    def storage(self, tensor: TensorRef) -> Member:
        """The member with the tensor's bytes; its size must be what the pickle says."""
        key = tensor.storage.key
        member = self.members.get(f"{self.root}/data/{key}")
        if member is None:
            raise InputRefused(f"{shown(self.path)}: storage {quoted(key)} is missing")
        if member.bytes != tensor.storage.bytes:
            raise InputRefused(
                f"{shown(self.path)}: storage {quoted(key)} has {member.bytes} bytes, "
                f"the pickle says {tensor.storage.bytes}"
            )
        return member


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: dicts, lists, texts and numbers, and each tensor as a `TensorRef`."""

    structure: Any
    _archive: _Archive

    def read(self, stream: BinaryIO, tensor: TensorRef) -> bytes:
        """The bytes of the tensor's storage, checked; ``stream`` is the open file.

        Raises InputRefused if they are damaged, or not as many as the pickle says.
        """
        return b"".join(verified(stream, self._archive.storage(tensor), self._archive.path))


def contents(stream: BinaryIO, path: Path) -> Contents:
    """What the open file holds, no tensor read yet. Nothing in it is run.

    Raises InputRefused on what torch.save does not write, and on names of any code but torch's own.
    """
    archive, structure = _open(stream, stream.seek(0, SEEK_END), path)
    return Contents(structure, archive)


def layout(path: Path) -> Layout:
    """Where every storage lies, each counted once, after checking all CRCs."""
    with open_regular(path) as (stream, size):
        archive, structure = _open(stream, size, path)
        for member in archive.members.values():
            for _ in verified(stream, member, path):
                pass
    used: dict[str, list[tuple[str, TensorRef]]] = defaultdict(list)
    for name, tensor in _named_tensors(structure, path):
        used[archive.storage(tensor).name].append((name, tensor))
    pieces: list[Piece] = []
    for name, tensors in used.items():
        pieces += _split(archive.members[name], tensors, path)
    prefix = f"{archive.root}/data/"
    pieces += [
        Piece("unused", 0, member.bytes, path, member.offset)
        for member in archive.members.values()
        if member.name.startswith(prefix) and member.name not in used
    ]
    return Layout(path, size, tuple(pieces))


def _open(stream: BinaryIO, size: int, path: Path) -> tuple[_Archive, Any]:
    found = members(stream, size, path)
    pickles = [name for name in found if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputRefused(f"{shown(path)}: zip file, but not one written by torch.save")
    root = pickles[0].removesuffix("/data.pkl")
    if f"{root}/constants.pkl" in found:
        raise InputRefused(f"{shown(path)}: is TorchScript: save the state_dict with torch.save")
    member = found[pickles[0]]
    if member.bytes > plainpickle.MAX_BYTES:
        raise InputRefused(f"{shown(path)}: pickle of {member.bytes} bytes")
    data = b"".join(verified(stream, member, path))
    return _Archive(path, found, root), plainpickle.load(data, shown(path))


def _named_tensors(structure: Any, path: Path) -> Iterator[tuple[str, TensorRef]]:
    """Every tensor with the dotted path to it. A container reached twice is walked once."""
    seen: set[int] = set()
    pending: list[tuple[str, int, Any]] = [("", 0, structure)]
    while pending:
        name, depth, value = pending.pop()
        if isinstance(value, TensorRef):
            yield name, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if depth > MAX_DEPTH or len(name) > MAX_NAME:
            raise InputRefused(f"{shown(path)}: nested deeper than {MAX_DEPTH} levels")
        children = [
            (f"{name}.{key}" if name else str(key), depth + 1, child)
            for key, child in _children(value, path)
        ]
        pending.extend(reversed(children))


def _children(value: Any, path: Path) -> Iterable[tuple[Any, Any]]:
    """Key and value of what can hold a tensor; scalars are left out here, there are many."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    elif isinstance(value, Packed):
        pairs = enumerate(value.state)
    for key, child in pairs:
        if isinstance(child, (dict, list, tuple, Packed, TensorRef)):
            if isinstance(key, (str, bytes)) and len(key) > MAX_NAME:
                raise InputRefused(f"{shown(path)}: a name of {len(key)} characters")
            yield key, child


def _split(member: Member, tensors: list[tuple[str, TensorRef]], path: Path) -> list[Piece]:
    """Share a storage's bytes out: each to the first tensor that covers it, the rest too.

    Tied weights thus count once; the views into a flattened storage each get their part.
    """
    spans = sorted(
        (
            (t.offset * BITS[t.dtype] // 8, t.end * BITS[t.dtype] // 8, order)
            for order, (_, t) in enumerate(tensors)
        ),
        key=lambda span: (span[0], span[2]),
    )
    pieces: list[Piece] = []
    done = 0
    for begin, end, order in spans:
        name, tensor = tensors[order]
        if end <= done and done:
            continue
        # A gap in front of a span goes with it; one behind the last goes with the last.
        start, done = done, max(end, begin, done)
        size = done - start
        pieces.append(_piece(name, tensor, size, member.offset + start, path))
    if pieces and done < member.bytes:
        name, tensor = tensors[spans[-1][2]]
        pieces.append(_piece(name, tensor, member.bytes - done, member.offset + done, path))
    return pieces


def _piece(name: str, tensor: TensorRef, size: int, offset: int, path: Path) -> Piece:
    return Piece(name, size * 8 // BITS[tensor.dtype], size, path, offset, shape=tensor.shape)
