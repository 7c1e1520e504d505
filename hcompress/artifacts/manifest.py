"""`manifest.json`: what an artifact is made of, from what, and what it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from hcompress.artifacts.kinds import Kind
from hcompress.errors import InputRefused
from hcompress.strict.read import read, take_version
from hcompress.strict.schema import Param
from hcompress.strict.seal import SEAL, sealed, unsealed
from hcompress.strict.show import show
from hcompress.strict.write import plain

FORMAT: Final = 1
_Count = Annotated[int, Param(minimum=0)]
Digest = Annotated[str, Param("64 hexadecimal digits", pattern="[0-9a-f]{64}")]


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file of the artifact."""

    bytes: _Count
    sha256: Digest


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
    key: Digest


@dataclass(frozen=True)
class Manifest:
    """Everything `manifest.json` holds. ``files`` are relative names with forward slashes."""

    stage: StageRecord
    key: Digest
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
        for name in self.files:
            path = PurePosixPath(name)
            if not name or path.is_absolute() or ".." in path.parts or {"\\", "\0"} & set(name):
                raise InputRefused(f"files: {show(name)} leads out of the artifact")

    def to_dict(self) -> dict[str, Any]:
        return sealed({"format": FORMAT, **plain(self)})

    @classmethod
    def from_dict(cls, raw: object, where: str) -> Manifest:
        """Strict: raises InputRefused naming ``where`` and the field, or that it was changed.

        The first manifests had no seal.
        """
        _, given = take_version(raw, "format", (FORMAT,), where)
        seal = given.pop(SEAL, None)
        manifest = read(cls, given, where)
        read(BreakdownRecord, manifest.breakdown, f"{where}: breakdown")
        whole = {"format": FORMAT, **given}
        unsealed(whole if seal is None else {**whole, SEAL: seal}, where)
        return manifest


@dataclass(frozen=True)
class _Component:
    name: str
    bytes: _Count
    params: _Count


@dataclass(frozen=True)
class BreakdownRecord:
    """What ``breakdown`` has to hold."""

    bytes: _Count
    components: tuple[_Component, ...]

    def __post_init__(self) -> None:
        if sum(part.bytes for part in self.components) != self.bytes:
            raise InputRefused("the components do not sum to bytes")
