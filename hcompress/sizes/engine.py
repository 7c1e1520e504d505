"""Engine plans: their layout is the vendor's secret, so the sidecar says what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hcompress.errors import InputRefused
from hcompress.sizes.files import open_regular, read_small, sha256_of, shown
from hcompress.sizes.groups import CONTAINER, GROUPS
from hcompress.sizes.model import Breakdown, Component, in_order
from hcompress.sizes.strictjson import read_json

SUFFIXES = frozenset((".plan", ".engine", ".trt"))
MAX_SIDECAR = 16 << 20


def sidecar_of(plan: Path) -> Path:
    """Where the sidecar of a plan lies: ``model.plan`` → ``model.plan.json``."""
    return plan.with_name(plan.name + ".json")


def read_sidecar(plan: Path) -> dict[str, Any] | None:
    """The sidecar, or None where there is none. Raises InputRefused where it is broken."""
    path = sidecar_of(plan)
    if not path.exists():
        return None
    sidecar = read_json(path, MAX_SIDECAR)
    if not isinstance(sidecar, dict):
        raise InputRefused(f"{shown(path)}: is not a JSON object: build the engine again")
    if "seal" in sidecar or "format" in sidecar:  # ours: no single byte can take both away
        from hcompress.runtime.engine import unseal

        unseal(read_small(path, MAX_SIDECAR), shown(path))
    return sidecar


def breakdown(plan: Path) -> Breakdown:
    """The sidecar's breakdown, once size and digest of the plan agree with it.

    A plan without a sidecar is all container: nobody outside can tell its weights apart.
    """
    with open_regular(plan) as (_, size):
        pass
    sidecar = read_sidecar(plan)
    if sidecar is None:
        return Breakdown(plan, size, (Component(CONTAINER, size, 0),))
    where = shown(sidecar_of(plan))
    recorded = sidecar.get("plan")
    if isinstance(recorded, dict) and recorded.get("sha256") != sha256_of(plan):
        raise InputRefused(f"{where}: the plan's SHA-256 differs: build the engine again")
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
