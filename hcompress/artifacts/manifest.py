"""`manifest.json`: what an artifact is made of, from what, and what it weighs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from hcompress.artifacts.kinds import Kind
from hcompress.errors import InputRefused
from hcompress.strict.read import read, take_version
from hcompress.strict.show import show
from hcompress.strict.write import plain

FORMAT: Final = 1
_HEX64: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file of the artifact."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        _check_digest("sha256", self.sha256)


@dataclass(frozen=True)
class StageRecord:
    """Which stage wrote the artifact, with its parameters as JSON."""

    name: str
    version: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Parent:
    """The artifact this one was made from."""

    stage: str
    key: str

    def __post_init__(self) -> None:
        _check_digest("key", self.key)


@dataclass(frozen=True)
class Manifest:
    """Everything `manifest.json` holds. ``files`` are relative names with forward slashes."""

    stage: StageRecord
    key: str
    parent: Parent | None
    kind: Kind
    files: Mapping[str, FileRecord]
    breakdown: Mapping[str, Any]
    techniques: tuple[str, ...]
    report: Mapping[str, Any]
    inputs: Mapping[str, str]
    seed: int
    threads: int
    versions: Mapping[str, str]
    seconds: float
    finished: str

    def __post_init__(self) -> None:
        _check_digest("key", self.key)
        for name in self.files:
            path = PurePosixPath(name)
            if not name or path.is_absolute() or ".." in path.parts or {"\\", "\0"} & set(name):
                raise InputRefused(f"files: {show(name)} leads out of the artifact")

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **plain(self)}

    @classmethod
    def from_dict(cls, raw: object, where: str) -> Manifest:
        """Strict: raises InputRefused naming ``where`` and the field."""
        _, fields = take_version(raw, "format", (FORMAT,), where)
        manifest = read(cls, fields, where)
        read(BreakdownRecord, manifest.breakdown, f"{where}: breakdown")
        return manifest


@dataclass(frozen=True)
class _Component:
    name: str
    bytes: int
    params: int


@dataclass(frozen=True)
class BreakdownRecord:
    """What ``breakdown`` has to hold."""

    bytes: int
    components: tuple[_Component, ...]

    def __post_init__(self) -> None:
        if sum(part.bytes for part in self.components) != self.bytes:
            raise InputRefused("the components do not sum to bytes")


def _check_digest(name: str, value: str) -> None:
    if not _HEX64.fullmatch(value):
        raise InputRefused(f"{name} = {show(value)}: not 64 hexadecimal digits")
