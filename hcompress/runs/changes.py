"""A recipe's parameters, said otherwise: ``STAGE.KEY=VALUE``, one at a time."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hcompress.errors import UsageError
from hcompress.strict.show import show, suggest


def changed(raw: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A parsed recipe with these changes, each of every stage of that name or label.

    A value is TOML; what is none is a string, and nothing takes the key away. Whether a stage has
    such a key is for those to say who read the recipe. Raises UsageError if a change can't be read
    or names no stage of the recipe.
    """
    entries = raw.get("stages")
    if not changes or not isinstance(entries, list):
        return dict(raw)
    made = [dict(entry) if isinstance(entry, Mapping) else entry for entry in entries]
    tables = [entry for entry in made if isinstance(entry, dict)]
    for change in changes:
        stage, key, value = _parts(change)
        meant = [entry for entry in tables if stage in (entry.get("label"), entry.get("stage"))]
        if not meant:
            known = [str(entry.get("stage")) for entry in tables]
            hint = suggest(stage, known, "stages")
            raise UsageError(f"--set {change}: the recipe has no stage {show(stage)}{hint}")
        for entry in meant:
            if value is None:
                entry.pop(key, None)
            else:
                entry[key] = value
    return {**raw, "stages": made}


def _parts(change: str) -> tuple[str, str, Any]:
    """Stage, key, and value: None if there is nothing behind the sign."""
    name, sign, text = change.partition("=")
    stage, dot, key = name.strip().rpartition(".")
    if not (sign and dot and stage and key):
        raise UsageError(f"--set {change}: write STAGE.KEY=VALUE, as quantise.bits=5")
    if not text.strip():
        return stage, key, None
    try:
        return stage, key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return stage, key, text
