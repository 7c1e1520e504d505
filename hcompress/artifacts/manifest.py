"""`manifest.json`: what an artifact is made of, from what, and what it weighs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from hcompress.artifacts.kinds import Kind
from hcompress.errors import InputRefused

FORMAT: Final = 1
_HEX64: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file of the artifact."""

    bytes: int
    sha256: str


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

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **dataclasses.asdict(self), "techniques": list(self.techniques)}

    @classmethod
    def from_dict(cls, raw: object, where: str) -> Manifest:
        """Strict: raises InputRefused naming ``where`` and the field."""
        table = _Table(raw, where, "")
        if table.take("format", int) != FORMAT:
            raise InputRefused(f"{where}: format: only {FORMAT} is known; upgrade hcompress")
        parent = None if table.is_null("parent") else table.table("parent")
        stage = table.table("stage")
        manifest = cls(
            stage=StageRecord(
                stage.take("name", str), stage.take("version", int), stage.take("parameters", dict)
            ),
            key=table.hex64("key"),
            parent=Parent(parent.take("stage", str), parent.hex64("key")) if parent else None,
            kind=_kind(table),
            files=_files(table.table("files"), where),
            breakdown=_breakdown(table),
            techniques=tuple(table.strings("techniques")),
            report=table.take("report", dict),
            inputs=table.string_map("inputs"),
            seed=table.take("seed", int),
            threads=table.take("threads", int),
            versions=table.string_map("versions"),
            seconds=table.take("seconds", float),
            finished=table.take("finished", str),
        )
        for checked in (table, stage, *([parent] if parent else [])):
            checked.close()
        return manifest


class _Table:
    """A JSON object read key by key; what is left at the end is unknown."""

    def __init__(self, raw: object, where: str, field: str) -> None:
        if not isinstance(raw, dict):
            raise InputRefused(f"{where}: {field or 'top level'}: not an object")
        self.raw: dict[str, Any] = dict(raw)
        self.where = where
        self.field = field

    def _at(self, key: str) -> str:
        return f"{self.where}: {self.field + '.' if self.field else ''}{key}"

    def is_null(self, key: str) -> bool:
        return self.raw.get(key, ...) is None and self.raw.pop(key, None) is None

    def take(self, key: str, kind: type) -> Any:
        value = self.raw.pop(key, ...)
        if value is ...:
            raise InputRefused(f"{self._at(key)}: missing")
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise InputRefused(f"{self._at(key)}: must be of type {kind.__name__}")
        return value

    def table(self, key: str) -> _Table:
        return _Table(self.take(key, dict), self.where, f"{self.field}.{key}".lstrip("."))

    def hex64(self, key: str) -> str:
        value: str = self.take(key, str)
        if not _HEX64.fullmatch(value):
            raise InputRefused(f"{self._at(key)}: not 64 hexadecimal digits")
        return value

    def strings(self, key: str) -> list[str]:
        values: list[str] = self.take(key, list)
        if not all(isinstance(value, str) for value in values):
            raise InputRefused(f"{self._at(key)}: not a list of strings")
        return values

    def string_map(self, key: str) -> dict[str, str]:
        values: dict[str, str] = self.take(key, dict)
        if not all(isinstance(value, str) for value in values.values()):
            raise InputRefused(f"{self._at(key)}: a value is not a string")
        return values

    def close(self) -> None:
        for key in self.raw:
            raise InputRefused(f"{self._at(key)}: unknown key")


def _kind(table: _Table) -> Kind:
    value = table.take("kind", str)
    if value not in tuple(Kind):
        raise InputRefused(f"{table.where}: kind: {value!r} is none of {', '.join(Kind)}")
    return Kind(value)


def _files(table: _Table, where: str) -> dict[str, FileRecord]:
    found = {}
    for name in list(table.raw):
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise InputRefused(f"{where}: files: {name!r} leads out of the artifact")
        entry = table.table(name)
        found[name] = FileRecord(entry.take("bytes", int), entry.hex64("sha256"))
        entry.close()
    return found


def _breakdown(table: _Table) -> dict[str, Any]:
    """{"bytes", "components": [{"name", "bytes", "params"}]}, the components summing to bytes."""
    entry = table.table("breakdown")
    total: int = entry.take("bytes", int)
    rows = []
    for raw in entry.take("components", list):
        row = _Table(raw, table.where, "breakdown.components")
        rows.append({"name": row.take("name", str), **{k: row.take(k, int) for k in _COUNTS}})
        row.close()
    if sum(row["bytes"] for row in rows) != total:
        raise InputRefused(f"{table.where}: breakdown: the components do not sum to bytes")
    entry.close()
    return {"bytes": total, "components": rows}


_COUNTS: Final = ("bytes", "params")
