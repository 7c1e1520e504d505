"""The JSON every model file carries: configuration, charset, provenance. Torch-free.

One key, ``hcompress``, in a safetensors header or an ONNX file's metadata: several keys would
be written in an order that changes from run to run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hcompress.charset import pack_charset, unpack_charset
from hcompress.errors import InputRefused
from hcompress.spec.config import RecogniserConfig
from hcompress.spec.families import config_from_dict, config_to_dict
from hcompress.spec.flat import config_from_flat, config_to_flat
from hcompress.spec.vocabulary import Vocabulary


@dataclass(frozen=True)
class Provenance:
    """Which stage wrote a file, and the full key of what it was made from (None: from data)."""

    stage: str
    parent: str | None


KEY = "hcompress"
FLAT, TAGGED = 1, 2
"""Formats: head and inputs lie flat in the configuration, or are a tagged union there."""


@dataclass(frozen=True)
class ModelMetadata:
    """All of a model that is not a tensor."""

    config: RecogniserConfig
    vocabulary: Vocabulary
    provenance: Provenance

    def to_json(self) -> str:
        """The same bytes for the same contents, always; format 1 for all that it can say."""
        flat = config_to_flat(self.config)
        return json.dumps(
            {
                "format": TAGGED if flat is None else FLAT,
                "config": config_to_dict(self.config) if flat is None else flat,
                "charset": pack_charset(self.vocabulary.characters),
                "provenance": {
                    "stage": self.provenance.stage,
                    "parent": self.provenance.parent,
                },
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Raises InputRefused on anything that `to_json` does not write."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):  # also a number of too many digits
            raise InputRefused("metadata: not JSON") from None
        return cls.from_raw(raw)

    @classmethod
    def from_raw(cls, raw: Any) -> ModelMetadata:
        """As `from_json`, of what the JSON holds."""
        config, charset = config_of(raw), raw.get("charset")
        if not isinstance(charset, str):
            raise InputRefused("metadata: charset missing")
        vocabulary = Vocabulary(unpack_charset(charset), config.transcription)
        return cls(config, vocabulary, _read_provenance(raw.get("provenance")))


class Headed(Protocol):
    """An opened file that may say what we wrote."""

    @property
    def path(self) -> Path: ...
    @property
    def header(self) -> dict[str, Any] | None:
        """The JSON under `KEY`; None if the file has none."""
        ...

    @property
    def optimised(self) -> bool:
        """Whether it is a copy that onnxruntime has optimised for itself."""
        ...


def read_header(file: Headed) -> ModelMetadata:
    """What a file of ours says. Raises InputRefused naming the file if it is not one."""
    if file.header is None:
        raise InputRefused(f"{file.path}: no hcompress metadata: not a recogniser this tool wrote")
    if file.optimised:
        raise InputRefused(
            f"{file.path}: an optimised copy, which onnxruntime has made for itself, with other"
            " weights under other names: give the file that it was made from"
        )
    try:
        return ModelMetadata.from_raw(file.header)
    except InputRefused as error:
        raise InputRefused(f"{file.path}: {error}") from None


def config_of(raw: Any) -> RecogniserConfig:
    """The configuration in a header's JSON, whatever else is there. Raises InputRefused."""
    form = raw.get("format") if isinstance(raw, dict) else None
    if type(form) is not int or form not in (FLAT, TAGGED):
        raise InputRefused(f"metadata: not format {FLAT} or {TAGGED}")
    if not isinstance(raw.get("config"), dict):
        raise InputRefused("metadata: configuration missing")
    return config_from_flat(raw["config"]) if form == FLAT else config_from_dict(raw["config"])


def _read_provenance(raw: Any) -> Provenance:
    if isinstance(raw, dict):
        stage, parent = raw.get("stage"), raw.get("parent")
        if isinstance(stage, str) and (parent is None or isinstance(parent, str)):
            return Provenance(stage, parent)
    raise InputRefused("metadata: provenance missing or malformed")
