"""What a stage is: parameters in, one finished folder out.

A stage is a frozen dataclass. Its fields are its parameters, and from them alone come the
recipe keys, the subcommand's options and the docs. It holds no cache, no resume, no manifest:
the runner (`runs/runner.py`) does all that. Importing a stage module must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from hcompress.artifacts.kinds import Kind
from hcompress.charset import read_charset
from hcompress.errors import InputRefused
from hcompress.foreign.forecast import ForeignForecast
from hcompress.foreign.header import is_foreign
from hcompress.formats.open import Format, ModelFile, Source
from hcompress.progress import Progress
from hcompress.spec.config import RecogniserConfig
from hcompress.spec.forecast import Forecast
from hcompress.spec.header import Provenance, read_header
from hcompress.spec.vocabulary import Vocabulary


@dataclass(frozen=True)
class Env:
    """Everything a stage may use besides its parameters and its source."""

    seed: int
    threads: int
    provenance: Provenance
    progress: Progress
    scratch: Path
    """Half-way states (snapshots). Survives a kill; removed when the artifact is published."""
    teacher: Source | None = None
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

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        """Turn the artifact at ``source`` into files in ``out``; return the report's figures.

        ``source`` is a checkpoint or ONNX file, opened or not, or a folder holding one under its
        standard name (`model.safetensors`, `model.onnx`); None where the stage consumes nothing.
        """
        ...


TAKES_FOREIGN: Final = (
    "import",
    "import-decoder",
    "adapt",
    "prune",
    "merge",
    "extend-head",
    "encode-head",
    "quantise",
    "distil-body",
    "int8-body",
    "drop-in",
)
"""Stages to which a recogniser from elsewhere, a graph of which we know the ends, is enough."""


JUDGED_BY_ORIGINAL: Final = ("distil-body", "drop-in")
"""Those of them that a `--teacher` is for."""


def check_inside(stage: Stage, file: ModelFile) -> None:
    """Raises InputRefused if the stage needs the inside of a recogniser and the file has none, or
    none that it says anything of."""
    if stage.consumes is Kind.NOTHING or stage.name in TAKES_FOREIGN:
        return
    unsaid = file.bare and file.format is Format.SAFETENSORS  # it may have lost its header
    if unsaid or not is_foreign(file):
        if stage.consumes is Kind.CHECKPOINT and isinstance(stage, Foreseen):
            read_header(file)
        return
    *others, last = TAKES_FOREIGN[2:]
    raise InputRefused(
        f"{file.path}: an opaque body: {stage.name} needs the inside of a recogniser;"
        f" {', '.join(others)} and {last} take it"
    )


def needs(stage: Stage | type[Stage]) -> tuple[str, ...]:
    """Distributions the stage can't do without: what decides its bytes, and what opens a model."""
    checkpoint = Kind.CHECKPOINT in (stage.consumes, stage.produces)
    return (*stage.libraries, *(("safetensors",) if checkpoint else ()))


@runtime_checkable
class Foreseen(Protocol):
    """A stage that knows what it will make before it is made, for dry runs."""

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        """What it makes of the model before it; None if that can't be told.

        Raises UsageError if its parameters ask for what no recogniser can be.
        """
        ...


@runtime_checkable
class Labelled(Protocol):
    """A stage that goes by labels, for dry runs."""

    def check_labels(self, known: Vocabulary, max_steps: int) -> None:
        """Raises of its labels what `run` would raise, before anything is made.

        ``known``: the characters of the model it is given, or makes where it is given none;
        ``max_steps``: as in the configuration.
        """
        ...


@runtime_checkable
class ForeseenForeign(Protocol):
    """The same of a recogniser from elsewhere, by shapes alone."""

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast | None:
        """What it makes of the model before it; None if that can't be told.

        Raises UsageError if its parameters ask for what no such recogniser can be.
        """
        ...


def new_recogniser(config: RecogniserConfig, charset: Path) -> Forecast:
    """What a stage makes that begins with nothing but characters."""
    vocabulary = Vocabulary(read_charset(charset), config.transcription)
    rest = charset.stat().st_size
    return Forecast(config, len(vocabulary), rest, vocabulary=vocabulary)


@runtime_checkable
class TiedToMachine(Protocol):
    """A stage whose bytes depend on the machine it runs on, and not on versions alone."""

    def machine(self) -> Mapping[str, str]:
        """What of the machine they depend on; it enters the key."""
        ...
