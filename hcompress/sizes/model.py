"""What a file's bytes are made of: frozen, and always adding up to the file exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hcompress.sizes.groups import CONTAINER, GROUPS, group_of


@dataclass(frozen=True, slots=True)
class Component:
    """One row of a breakdown: a group's bytes on disk and the elements stored in them."""

    name: str
    bytes: int
    params: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The rows of one file, in the order of ``GROUPS``; groups without bytes have no row.

    Raises ValueError where the rows do not add up to ``bytes``: no breakdown may be wrong.
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
        """The row of that name; one of zero bytes where the file has none."""
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


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of weight bytes in a file, counted once however many tensors use it."""

    name: str
    params: int
    bytes: int
    file: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a model's weights lie. ``bytes`` counts every file that belongs to it."""

    path: Path
    bytes: int
    pieces: tuple[Piece, ...]
    metadata: str | None = None
    """The raw text under "hcompress", where the format has a place for it."""


def tally(layout: Layout) -> Breakdown:
    """Sum the pieces by group; whatever of the files they leave over is the container."""
    sizes = dict.fromkeys(GROUPS, 0)
    params = dict.fromkeys(GROUPS, 0)
    for piece in layout.pieces:
        group = group_of(piece.name)
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
