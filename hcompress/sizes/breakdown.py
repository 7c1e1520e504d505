"""What a file's bytes are made of: frozen, and always adding up to the file exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hcompress.errors import InputRefused
from hcompress.formats.engine import sidecar_of
from hcompress.formats.layout import Layout
from hcompress.formats.open import Format, ModelFile, open_file
from hcompress.sizes.groups import CONTAINER, GROUPS, group_of
from hcompress.strict.files import open_regular, shown
from hcompress.strict.read import read
from hcompress.strict.show import brief


@dataclass(frozen=True, slots=True)
class Component:
    """One row of a breakdown: a group's bytes on disk and the elements stored in them."""

    name: str
    bytes: int
    params: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The rows of one file, in the order of ``GROUPS``; groups without bytes have no row.

    Raises ValueError if the rows do not add up to ``bytes``: no breakdown may be wrong.
    """

    path: Path
    bytes: int
    components: tuple[Component, ...]

    def __post_init__(self) -> None:
        total = sum(component.bytes for component in self.components)
        if total != self.bytes:
            raise ValueError(f"{self.path}: rows add up to {total}, the file has {self.bytes}")
        if any(row.bytes < 0 or row.params < 0 for row in self.components):
            raise ValueError(f"{self.path}: a row is negative")
        if len({row.name for row in self.components}) != len(self.components):
            raise ValueError(f"{self.path}: two rows have one name")

    def component(self, name: str) -> Component:
        """The row of that name; one of zero bytes if the file has none."""
        for row in self.components:
            if row.name == name:
                return row
        return Component(name, 0, 0)

    @property
    def params(self) -> int:
        """Elements stored, shared ones once."""
        return sum(row.params for row in self.components)

    def to_dict(self) -> dict[str, Any]:
        """``{"bytes", "components": [{"name", "bytes", "params"}]}``, as JSON wants it."""
        rows = [{"name": r.name, "bytes": r.bytes, "params": r.params} for r in self.components]
        return {"bytes": self.bytes, "components": rows}


def tally(layout: Layout, groups: Mapping[str, str] | None = None) -> Breakdown:
    """Sum the pieces by group; whatever of the files they leave over is the container.

    ``groups`` says where a name belongs; names that it lacks say so themselves.
    """
    sizes = dict.fromkeys(GROUPS, 0)
    params = dict.fromkeys(GROUPS, 0)
    for piece in layout.pieces:
        group = (groups or {}).get(piece.name) or group_of(piece.name)
        sizes[group] += piece.bytes
        params[group] += piece.params
    sizes[CONTAINER] += layout.bytes - sum(sizes.values())
    return Breakdown(layout.path, layout.bytes, in_order(
        Component(name, sizes[name], params[name]) for name in GROUPS
    ))  # fmt: skip


def in_order(rows: Iterable[Component]) -> tuple[Component, ...]:
    """Rows in the order of ``GROUPS``, without the empty ones; the container always stays."""
    kept = [row for row in rows if row.bytes or row.params or row.name == CONTAINER]
    return tuple(sorted(kept, key=lambda row: GROUPS.index(row.name)))


def engine_breakdown(file: ModelFile) -> Breakdown:
    """The sidecar's breakdown, once digest and size of the plan agree with it.

    A plan without a sidecar is all container: nobody outside can tell its weights apart.
    """
    plan, sidecar = file.path, file.sidecar
    with open_regular(plan) as (_, size):
        pass
    if sidecar is None:
        return Breakdown(plan, size, (Component(CONTAINER, size, 0),))
    where = shown(sidecar_of(plan))
    found = from_dict(sidecar.get("breakdown"), plan, f"{where}: breakdown")
    if found.bytes != size:
        raise InputRefused(f"{where}: breakdown is of {found.bytes} bytes, the plan has {size}")
    return found


@dataclass(frozen=True)
class _Record:
    """What ``Breakdown.to_dict`` wrote."""

    bytes: int
    components: tuple[Component, ...]


def from_dict(value: Any, path: Path, where: str) -> Breakdown:
    """The inverse of ``Breakdown.to_dict``. Raises InputRefused if it does not add up."""
    found = read(_Record, value, where, only_known=False)
    for row in found.components:
        if row.name not in GROUPS:
            raise InputRefused(f"{where}: unknown row {brief(row.name)}")
    try:
        return Breakdown(path, found.bytes, in_order(found.components))
    except ValueError as error:
        raise InputRefused(f"{where}: {str(error).removeprefix(f'{path}: ')}") from None


def breakdown(source: Path | ModelFile, groups: Mapping[str, str] | None = None) -> Breakdown:
    """What a model file is made of; rows add up exactly. ``groups``: as `tally` has it.

    Reads .safetensors, .pt/.pth, .onnx and engine plans without torch, onnx or running a
    thing. Raises UsageError (no such path) and InputRefused (damaged, hostile, not a model).
    """
    file = open_file(source)
    return engine_breakdown(file) if file.format is Format.ENGINE else tally(file.layout, groups)
