"""An engine's folder: the plan, and beside it the sidecar that says what the plan is.

A plan is code for a GPU: nothing in it is looked at before size and digest are those the
sidecar gives, and the sidecar is sealed with a digest of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from hcompress.errors import InputRefused
from hcompress.strict.digest import file_digest
from hcompress.strict.files import in_folder, read_small, require_regular, shown, stat_of
from hcompress.strict.json import read_json
from hcompress.strict.read import read

SUFFIXES = frozenset((".plan", ".engine", ".trt"))
PLAN_FILE: Final = "model.plan"
SIDECAR_FILE: Final = "model.plan.json"
FORMAT: Final = 1
SEAL: Final = "seal"
MAX_SIDECAR: Final = 16 << 20
"""Bytes a sidecar may have."""


def seal(contents: Mapping[str, Any]) -> bytes:
    """A sidecar's bytes: the contents, and the SHA-256 of their own text."""
    body = {"format": FORMAT, **contents}
    digest = hashlib.sha256(_text(body)).hexdigest()
    return _text({**body, SEAL: digest})


def _text(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """What `seal` was given. Raises InputRefused if a byte is not as it was written."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise InputRefused(f"{where}: not a sidecar of this version: build the engine again")
    raw.pop(SEAL, None)
    raw.pop("format")
    try:
        as_written = seal(raw)
    except (ValueError, RecursionError):
        as_written = b""
    if as_written != data:
        raise InputRefused(f"{where}: changed since it was written: build the engine again")
    return raw


def check_engine(source: Path) -> dict[str, Any]:
    """The sidecar of an engine, given its folder or its plan, once both are found intact.

    Raises UsageError if there is no engine, InputRefused if a byte of the sidecar or the plan
    has changed. Loads nothing.
    """
    plan = in_folder(source, PLAN_FILE, "engine")
    require_regular(plan, stat_of(plan).st_mode)
    sidecar = sidecar_of(plan)
    if not sidecar.is_file():
        raise InputRefused(f"{sidecar}: missing: the engine can't be checked: build it again")
    contents = unseal(read_small(sidecar, MAX_SIDECAR), shown(sidecar))
    recorded = contents.get("plan")
    if not isinstance(recorded, dict):
        raise InputRefused(f"{sidecar}: says nothing about the plan: build the engine again")
    if plan.stat().st_size != recorded.get("bytes") or file_digest(plan) != recorded.get("sha256"):
        raise InputRefused(f"{plan}: not the plan its sidecar describes: build the engine again")
    return contents


def sidecar_of(plan: Path) -> Path:
    """Where the sidecar of a plan lies: ``model.plan`` → ``model.plan.json``."""
    return plan.with_name(plan.name + ".json")


def names_a_plan(file: Path) -> bool:
    """Whether the JSON beside ``file`` is a sidecar: anyone may write a .json there.

    Raises InputRefused if it is no JSON.
    """
    path = sidecar_of(file)
    return path.exists() and _recorded(read_json(path, MAX_SIDECAR)) is not None


def read_sidecar(plan: Path, digest: Callable[[Path], str] = file_digest) -> dict[str, Any] | None:
    """The sidecar, or None if there is none. ``digest`` gives the plan's, if it is asked for.

    Raises InputRefused if it is broken, or does not record the plan's digest.
    """
    path = sidecar_of(plan)
    if not path.exists():
        return None
    sidecar = read(dict[str, Any], read_json(path, MAX_SIDECAR), shown(path))
    if "seal" in sidecar or "format" in sidecar:  # ours: no single byte can take both away
        unseal(read_small(path, MAX_SIDECAR), shown(path))
    if _recorded(sidecar) != digest(plan):
        raise InputRefused(f"{shown(path)}: not the plan's SHA-256: build the engine again")
    return sidecar


def _recorded(sidecar: Any) -> str | None:
    """The digest that a sidecar says its plan has."""
    plan = sidecar.get("plan") if isinstance(sidecar, dict) else None
    digest = plan.get("sha256") if isinstance(plan, dict) else None
    return digest if isinstance(digest, str) else None
