"""A model file, opened: which kind it is (its content decides, not its name), and what it says.

Files alone: what a folder's manifest says of them is known in `artifacts`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

from hcompress.errors import InputRefused
from hcompress.formats import engine, safetensors
from hcompress.formats import onnx as onnxfile
from hcompress.formats import torchsave as torchfile
from hcompress.formats.layout import Layout
from hcompress.stand_in import START, is_text
from hcompress.strict.digest import file_digest, stream_digest
from hcompress.strict.files import in_folder, open_regular, refuse_stand_in, shown, stat_of
from hcompress.strict.json import strict_json

_TORCH_SUFFIXES = frozenset((".pt", ".pth", ".ckpt", ".bin"))


class Format(StrEnum):
    """What a model file is."""

    SAFETENSORS = "safetensors"
    TORCH = "torch"
    ONNX = "onnx"
    ENGINE = "engine"


_LAYOUTS = {
    Format.SAFETENSORS: safetensors.layout,
    Format.TORCH: torchfile.layout,
    Format.ONNX: onnxfile.layout,
}
MOST_BYTES = 4 << 30
"""Bytes of a model that is loaded or told by its digest; any size is measured."""
_SAYING = (Format.SAFETENSORS, Format.ONNX)
"""Formats with a place for what we say of a model."""


@dataclass(frozen=True)
class ModelFile:
    """A model file. What is asked for is read once, then remembered: hand it on.

    Whatever is asked raises UsageError if there is no such file, and InputRefused if it is
    damaged, hostile or no model.
    """

    path: Path

    @cached_property
    def format(self) -> Format:
        """What it is, by its first bytes."""
        return format_of(self.path)

    @cached_property
    def layout(self) -> Layout:
        """Where each weight lies: to have asked is to have checked the file's structure.

        Raises InputRefused for an engine too.
        """
        if self.format is Format.ENGINE:
            raise InputRefused(f"{shown(self.path)}: an engine's weights cannot be told apart")
        _ = self._mark  # from before it is read
        return _LAYOUTS[self.format](self.path)

    @cached_property
    def sidecar(self) -> dict[str, Any] | None:
        """What lies beside an engine and is of these bytes; None if nothing does."""
        return engine.read_sidecar(self.path, lambda _: self.own_digest)

    @cached_property
    def header(self) -> dict[str, Any] | None:
        """The JSON under "hcompress"; None if the file has none."""
        text = self.layout.metadata if self.format in _SAYING else None
        if text is None:
            return None
        where = f"{shown(self.path)}: hcompress metadata"
        value = strict_json(text, where)
        if not isinstance(value, dict):
            raise InputRefused(f"{where}: is not a JSON object")
        return value

    @property
    def bare(self) -> bool:
        """Whether it holds tensors and says nothing of what they are: torch.save's, or safetensors
        that we did not write."""
        if self.format is Format.TORCH:
            return True
        return self.format is Format.SAFETENSORS and self.header is None

    @property
    def optimised(self) -> bool:
        """Whether it is a copy that onnxruntime has optimised for itself."""
        return self.layout.optimised

    @cached_property
    def digest(self) -> str:
        """SHA-256, 64 hex; with external data, that of all its files' names and digests."""
        outside = self.external
        if not outside:
            return self.own_digest
        whole = hashlib.sha256(f"{self.own_digest}\n".encode())
        for path in outside:
            name = path.relative_to(self.path.parent).as_posix()
            whole.update(f"{name}\0{file_digest(path)}\n".encode())
        return whole.hexdigest()

    @cached_property
    def own_digest(self) -> str:
        """SHA-256 of this file alone, as a manifest lists it.

        Raises InputRefused of a file that is larger than any recogniser.
        """
        size = stat_of(self.path).st_size
        if size > MOST_BYTES:
            raise InputRefused(
                f"{shown(self.path)}: {size:,} bytes: no recogniser is larger than {MOST_BYTES:,}"
            )
        with self.stream() as stream:
            return stream_digest(stream, self.path)

    @cached_property
    def external(self) -> tuple[Path, ...]:
        """The files beside an ONNX file that hold weights of it, by name."""
        if self.format is not Format.ONNX:
            return ()
        return tuple(sorted({piece.file for piece in self.layout.pieces} - {self.path}))

    @contextmanager
    def stream(self) -> Iterator[BufferedReader]:
        """The open file, at its start, to read what `layout` has found in it.

        Raises InputRefused if it is no longer the file that was looked at first.
        """
        mark = self._mark
        with open_regular(self.path) as (stream, _):
            if _mark_of(os.fstat(stream.fileno())) != mark:
                raise InputRefused(f"{shown(self.path)}: changed while it was read: try again")
            yield stream

    @cached_property
    def _mark(self) -> tuple[int, ...]:
        return _mark_of(stat_of(self.path))


Source = Path | ModelFile
"""A model file, opened or to be opened, or the folder it lies in."""


def path_of(source: Source) -> Path:
    """The file, or the folder, by its name."""
    return source.path if isinstance(source, ModelFile) else source


def folder_of(source: Source) -> Path:
    """Where a model lies: what else its stage wrote lies beside it."""
    path = path_of(source)
    return path if path.is_dir() else path.parent


def _mark_of(status: os.stat_result) -> tuple[int, ...]:
    """What another file of that name, or a change to this one, does not leave as it is."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_file(
    source: Path | ModelFile, name: str | None = None, what: str = "model file"
) -> ModelFile:
    """``source``, opened if it is not yet; of a folder, the file called ``name``, a ``what``.

    Raises UsageError if there is no such file in the folder.
    """
    if isinstance(source, ModelFile):
        return source
    return ModelFile(source if name is None else in_folder(source, name, what))


def layout(source: Path | ModelFile) -> Layout:
    """Where each weight of a model file lies. Raises as `ModelFile.layout`."""
    return open_file(source).layout


def format_of(file: Path) -> Format:
    """What the file holds. Raises InputRefused if it is nothing we read."""
    with open_regular(file) as (stream, size):
        head = stream.read(START)
    refuse_stand_in(head, shown(file))
    suffix = file.suffix.lower()
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.TORCH
    if safetensors.looks_like(head, size) or suffix == ".safetensors":
        return Format.SAFETENSORS
    if suffix in engine.SUFFIXES:
        if is_text(head) and not engine.names_a_plan(file):
            raise InputRefused(
                f"{shown(file)}: holds text, and is no engine: build or copy it again"
            )
        return Format.ENGINE
    # Nothing marks an ONNX file; every exporter writes the IR version, field 1, first. Asked
    # before a sidecar is looked for: a JSON laid beside an ONNX file must not speak for it.
    if suffix == ".onnx" or (head.startswith(b"\x08") and suffix not in _TORCH_SUFFIXES):
        return Format.ONNX
    if engine.names_a_plan(file):
        return Format.ENGINE
    if head.startswith(b"\x80") or suffix in _TORCH_SUFFIXES:
        raise InputRefused(_not_a_zip(file, head))
    raise InputRefused(
        f"{shown(file)}: is no safetensors, torch.save, ONNX or engine file: name a model file"
    )


def _not_a_zip(file: Path, head: bytes) -> str:
    if head.startswith(b"\x80"):
        return (
            f"{shown(file)}: is a bare pickle (torch.save before 1.6), which can run code and was "
            "not read: save it again with torch.save where you trust it"
        )
    return f"{shown(file)}: is not a zip file written by torch.save: truncated or damaged"
