"""An artifact's key: everything its bytes depend on, in one full SHA-256."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts.folder import Artifact, path_digest
from hcompress.errors import UsageError
from hcompress.stages.base import Stage, TiedToMachine
from hcompress.strict.schema import describe
from hcompress.strict.write import plain

Digester = Callable[[Path], str]
_READ_BY: Final = ("pillow",)
"""What decides the pixels of data, whatever the stage makes of them."""


@dataclass(frozen=True)
class Ticket:
    """What identifies one run of one stage."""

    key: str
    """64 hex."""
    inputs: Mapping[str, str]
    """Digest of each path among the parameters, by the parameter's name."""
    versions: Mapping[str, str]
    """Installed version of each of the stage's libraries."""


def data_digest(path: Path) -> str:
    """The digest of a data argument's contents. Raises UsageError where there is nothing."""
    if not path.exists():
        raise UsageError(f"{path}: no such data")
    from hcompress.data.source import open_images

    return open_images(path).digest


def make_ticket(
    stage: Stage,
    parent_key: str | None,
    teacher_digest: str | None,
    seed: int,
    threads: int,
    digest_data: Digester = data_digest,
) -> Ticket:
    """The key of what ``stage`` would make. Raises UsageError where an input is missing."""
    inputs = _input_digests(stage, digest_data)
    values = plain(stage)
    keyed = {entry.name for entry in describe(type(stage)) if entry.param.keyed}
    decisive = keyed - inputs.keys()
    versions = library_versions((*stage.libraries, *(_READ_BY if _reads_images(stage) else ())))
    payload: dict[str, Any] = {
        "stage": stage.name,
        "version": stage.version,
        # a path's spelling is nobody's business: its contents are, below
        "parameters": {name: value for name, value in values.items() if name in decisive},
        "inputs": inputs,
        "parent": parent_key,
        "teacher": teacher_digest,
        "seed": seed,
        "threads": threads,
        "versions": versions,
    }
    if isinstance(stage, TiedToMachine):
        payload["machine"] = dict(stage.machine())
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Ticket(hashlib.sha256(text.encode()).hexdigest(), inputs, versions)


def _reads_images(stage: Stage) -> bool:
    data = (entry for entry in describe(type(stage)) if entry.param.data)
    return any(getattr(stage, entry.name) for entry in data)


def _input_digests(stage: Stage, digest_data: Digester) -> dict[str, str]:
    found = {}
    for entry in describe(type(stage)):
        value = getattr(stage, entry.name)
        if entry.scalar is not Path or value is None:
            continue
        digester = digest_data if entry.param.data else path_digest
        try:
            digests = [digester(path) for path in (value if entry.many else (value,))]
        except UsageError as error:
            raise UsageError(f'stage "{stage.name}": {entry.name}: {error}') from None
        found[entry.name] = _joined(digests) if entry.many else digests[0]
    return found


def _joined(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions by distribution; "absent" where one is not installed."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def remembering(digest_data: Digester) -> Digester:
    """``digest_data``, asked once for each path: data may take minutes to read."""
    known: dict[Path, str] = {}

    def ask(path: Path) -> str:
        if path not in known:
            known[path] = digest_data(path)
        return known[path]

    return ask


def parent_key(source: Artifact | None) -> str | None:
    return source.key if source else None


def step_seed(seed: int, place: int | str) -> int:
    """The seed of a recipe's step, 0 to 2**31 - 1: its own, whatever the other steps draw.

    ``place`` is the step's index, or its label.
    """
    digest = hashlib.sha256(f"{seed}:{place}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
