"""Engine plans: their layout is the vendor's secret, so the sidecar says what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hcompress.digest import file_digest
from hcompress.errors import InputRefused
from hcompress.sizes.files import open_regular, read_small, shown
from hcompress.sizes.groups import CONTAINER, GROUPS
from hcompress.sizes.model import Breakdown, Component, in_order
from hcompress.sizes.strictjson import read_json

SUFFIXES = frozenset((".plan", ".engine", ".trt"))
MAX_SIDECAR = 16 << 20


def sidecar_of(plan: Path) -> Path:
    """Where the sidecar of a plan lies: ``model.plan`` → ``model.plan.json``."""
    return plan.with_name(plan.name + ".json")


def names_a_plan(file: Path) -> bool:
    """Whether the JSON beside ``file`` is a sidecar: anyone may write a .json there.

    Raises InputRefused where it is no JSON.
    """
    path = sidecar_of(file)
    return path.exists() and _recorded(read_json(path, MAX_SIDECAR)) is not None


def read_sidecar(plan: Path) -> dict[str, Any] | None:
    """The sidecar, or None where there is none.

    Raises InputRefused where it is broken, or does not record the plan's digest.
    """
    path = sidecar_of(plan)
    if not path.exists():
        return None
    sidecar = read_json(path, MAX_SIDECAR)
    if not isinstance(sidecar, dict):
        raise InputRefused(f"{shown(path)}: is not a JSON object: build the engine again")
    if "seal" in sidecar or "format" in sidecar:  # ours: no single byte can take both away
        from hcompress.runtime.engine import unseal

        unseal(read_small(path, MAX_SIDECAR), shown(path))
    if _recorded(sidecar) != file_digest(plan):
        raise InputRefused(f"{shown(path)}: not the plan's SHA-256: build the engine again")
    return sidecar


def _recorded(sidecar: Any) -> str | None:
    """The digest that a sidecar says its plan has."""
    plan = sidecar.get("plan") if isinstance(sidecar, dict) else None
    digest = plan.get("sha256") if isinstance(plan, dict) else None
    return digest if isinstance(digest, str) else None


def breakdown(plan: Path) -> Breakdown:
    """The sidecar's breakdown, once digest and size of the plan agree with it.

    A plan without a sidecar is all container: nobody outside can tell its weights apart.
    """
    with open_regular(plan) as (_, size):
        pass
    sidecar = read_sidecar(plan)
    if sidecar is None:
        return Breakdown(plan, size, (Component(CONTAINER, size, 0),))
    where = shown(sidecar_of(plan))
    found = from_dict(sidecar.get("breakdown"), plan, f"{where}: breakdown")
    if found.bytes != size:
        raise InputRefused(f"{where}: breakdown is of {found.bytes} bytes, the plan has {size}")
    return found


def from_dict(value: Any, path: Path, where: str) -> Breakdown:
    """What ``Breakdown.to_dict`` wrote. Raises InputRefused where it does not add up."""
    rows = value.get("components") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise InputRefused(f"{where} is not a list of {{name, bytes, params}}")
    components = in_order(Component(row["name"], row["bytes"], row["params"]) for row in rows)
    try:
        return Breakdown(path, _total(value, where), components)
    except ValueError as error:
        raise InputRefused(f"{where}: {str(error).removeprefix(f'{path}: ')}") from None


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or row.get("name") not in GROUPS:
        return False
    return all(type(row.get(key)) is int and 0 <= row[key] < 1 << 63 for key in ("bytes", "params"))


def _total(value: dict[str, Any], where: str) -> int:
    total = value.get("bytes")
    if type(total) is not int:
        raise InputRefused(f"{where}: bytes is not a whole number")
    return total
