"""The JSON every model file carries: configuration, charset, provenance. Torch-free.

One key, ``hcompress``, in a safetensors header or an ONNX file's metadata: several keys would
be written in an order that changes from run to run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hcompress.charset import Vocabulary, pack_charset, unpack_charset
from hcompress.errors import InputRefused
from hcompress.spec.config import RecogniserConfig


@dataclass(frozen=True)
class Provenance:
    """Which stage wrote a file, and the full key of what it was made from (None: from data)."""

    stage: str
    parent: str | None


KEY = "hcompress"
FORMAT = 1


@dataclass(frozen=True)
class ModelMetadata:
    """All of a model that is not a tensor."""

    config: RecogniserConfig
    vocabulary: Vocabulary
    provenance: Provenance

    def to_json(self) -> str:
        """The same bytes for the same contents, always."""
        return json.dumps(
            {
                "format": FORMAT,
                "config": self.config.to_dict(),
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
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise InputRefused(f"metadata: not format {FORMAT}")
        config, charset, provenance = (raw.get(k) for k in ("config", "charset", "provenance"))
        if not isinstance(config, dict) or not isinstance(charset, str):
            raise InputRefused("metadata: configuration or charset missing")
        return cls(
            RecogniserConfig.from_dict(config),
            Vocabulary(unpack_charset(charset)),
            _read_provenance(provenance),
        )


def _read_provenance(raw: Any) -> Provenance:
    if isinstance(raw, dict):
        stage, parent = raw.get("stage"), raw.get("parent")
        if isinstance(stage, str) and (parent is None or isinstance(parent, str)):
            return Provenance(stage, parent)
    raise InputRefused("metadata: provenance missing or malformed")
