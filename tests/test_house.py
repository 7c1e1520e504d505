"""Who may import whom: what keeps the tree a tree. Read from the source, lazy imports included."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter

from tests import ROOT

ROOMS = (
    "errors", "stand_in", "progress", "metrics", "charset", "search", "models", "strict",
    "compute", "formats", "spec", "sizes", "data", "onnx_writer", "artifacts", "foreign", "heads",
    "recognisers", "checkpoints", "compress", "codes", "training", "runtime", "export",
    "evaluation", "serve", "stages", "reports", "runs", "gate", "doctor", "lab", "cli", "__main__",
)  # fmt: skip
"""The package's folders and files, from the ground up: imports run down this list."""
MOST_ROOMS, MOST_FLOORS = 34, 13
FILES = {
    ".".join(part for part in file.relative_to(ROOT).with_suffix("").parts if part != "__init__"):
    file for file in (ROOT / "hcompress").rglob("*.py")
}  # fmt: skip
"""By the module's name."""


@cache
def imports() -> dict[str, set[str]]:
    """What each module takes of the package: at its top, in functions, for type checkers."""
    return {name: _imported(name) - {name, "hcompress"} for name in FILES if name != "hcompress"}


def _imported(name: str) -> set[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {one if one in FILES else str(node.module) for one in inner}
    return found & FILES.keys()


def arrows() -> list[tuple[str, str, str]]:
    """From room to room, and the import that makes the arrow."""
    pairs = [(a, b) for a, others in imports().items() for b in sorted(others)]
    found = [(a.split(".")[1], b.split(".")[1], f"{a} -> {b}") for a, b in pairs]
    return [arrow for arrow in found if arrow[0] != arrow[1]]


def rooms() -> dict[str, set[str]]:
    """The rooms that each one imports."""
    return {room: {to for start, to, _ in arrows() if start == room} for room in ROOMS}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_room_has_its_place() -> None:
    assert {module.split(".")[1] for module in imports()} == set(ROOMS)
    assert len(ROOMS) <= MOST_ROOMS


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(imports()) == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    assert circle(rooms()) == []


def test_no_import_runs_upwards() -> None:
    place = ROOMS.index
    assert [why for start, to, why in arrows() if place(start) < place(to)] == []


def test_nothing_below_knows_of_stages_or_of_the_command_line() -> None:
    above = {"stages": ROOMS[ROOMS.index("stages") :], "cli": ("cli", "__main__")}
    assert [why for start, to, why in arrows() if start not in above.get(to, ROOMS)] == []


def test_the_house_has_few_floors() -> None:
    """A room stands one floor above the highest that it imports."""
    floors: dict[str, int] = {}
    for room in TopologicalSorter(rooms()).static_order():
        floors[room] = 1 + max((floors[other] for other in rooms()[room]), default=0)
    assert max(floors.values()) <= MOST_FLOORS, floors
