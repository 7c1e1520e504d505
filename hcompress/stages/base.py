"""What a stage is: parameters in, one finished folder out.

A stage is a frozen dataclass. Its fields are its parameters, and from them alone come the
recipe keys, the subcommand's options and the docs. It holds no cache, no resume, no manifest:
the runner (`pipeline.py`) does all that. Importing a stage module must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, runtime_checkable


class Kind(StrEnum):
    """What passes along an arrow of the chain."""

    NOTHING = "nothing"
    CHECKPOINT = "checkpoint"
    ONNX = "onnx"
    ENGINE = "engine"


MOST_WORKERS: Final = 256
MOST_BATCH: Final = 16_384
"""Images at once; as many fill the largest GPU."""
MOST_IMAGES: Final = 100_000_000
"""More than data has: a slip of the keyboard."""


@dataclass(frozen=True)
class Param:
    """Help text and bounds of one stage parameter, carried in ``Annotated[type, Param(...)]``."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    data: bool = False
    """The parameter is a path to data; its digest, not its spelling, enters the key."""
    keyed: bool = True
    """False where the parameter never changes a byte of the result, such as worker processes."""


class Progress(Protocol):
    """Where a stage says how far it is. Implementations draw a bar, print lines or do nothing."""

    def start(self, label: str, total: int, done: int = 0) -> None: ...
    def advance(self, count: int = 1, note: str = "") -> None: ...
    def finish(self) -> None: ...
    def say(self, text: str) -> None: ...


@dataclass(frozen=True)
class Provenance:
    """Which stage wrote a file, and the full key of what it was made from (None: from data)."""

    stage: str
    parent: str | None


@dataclass(frozen=True)
class Env:
    """Everything a stage may use besides its parameters and its source."""

    seed: int
    threads: int
    provenance: Provenance
    progress: Progress
    scratch: Path
    """Half-way states (snapshots). Survives a kill; removed when the artifact is published."""
    teacher: Path | None = None
    """The checkpoint the run started from: what distillation and accuracy compare with."""


class Stage(Protocol):
    """One step. ``run`` is some ten lines: load, pure function, save."""

    name: ClassVar[str]
    version: ClassVar[int]
    summary: ClassVar[str]
    consumes: ClassVar[Kind]
    produces: ClassVar[Kind]
    libraries: ClassVar[tuple[str, ...]]
    """Distributions whose version changes this stage's bytes; they enter the key."""

    def run(self, source: Path | None, out: Path, env: Env) -> Mapping[str, Any]:
        """Turn the artifact at ``source`` into files in ``out``; return the report's figures.

        ``source`` is a checkpoint or ONNX file, or a folder holding one under its standard
        name (`model.safetensors`, `model.onnx`); None where the stage consumes nothing.
        """
        ...


@runtime_checkable
class TiedToMachine(Protocol):
    """A stage whose bytes depend on the machine it runs on, and not on versions alone."""

    def machine(self) -> Mapping[str, str]:
        """What of the machine they depend on; it enters the key."""
        ...
