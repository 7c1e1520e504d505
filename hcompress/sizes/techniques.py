"""What a file says about its recogniser, without loading it: metadata and techniques."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hcompress.charset import unpack_charset
from hcompress.errors import InputRefused
from hcompress.formats.open import Format, ModelFile, open_file
from hcompress.spec.config import FP16, INT8, MOBILENET, NO_FFN, SHARED_LAYERS, RecogniserConfig
from hcompress.spec.header import config_of
from hcompress.spec.heads import HAMMING_CLASSIFIER, HAMMING_EMBEDDING, RERANKED

TECHNIQUES: tuple[str, ...] = (
    MOBILENET, HAMMING_CLASSIFIER, HAMMING_EMBEDDING, NO_FFN, SHARED_LAYERS, FP16, INT8,
)  # fmt: skip
"""Names and order as in the paper's Table 1."""
_BOTTLENECK = re.compile(r"Factorised (Softmax|Embedding) \(p = [1-9][0-9]{0,3}\)")


def techniques(config: RecogniserConfig) -> list[str]:
    """What is in force: the paper's techniques in Table 1's order, its Figure 4's, and others."""
    return _in_order(config.techniques())


def _in_order(found: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(found))
    bottlenecks = [name for name in names if _BOTTLENECK.fullmatch(name)]
    known = [name for name in TECHNIQUES if name in names]
    rest = [name for name in names if name not in known and name not in bottlenecks]
    return known + bottlenecks + rest


def read_metadata(source: Path | ModelFile) -> dict[str, Any] | None:
    """The "hcompress" JSON of a safetensors or ONNX file; None if the file has none.

    Torch-free; reads the header (safetensors) or walks the fields (ONNX). Raises UsageError
    and InputRefused as `sizes.breakdown` does.
    """
    return open_file(source).header


def characters_of(source: Path | ModelFile) -> int | None:
    """How many characters a safetensors or ONNX file of ours knows; None if it does not say.

    Raises as `read_metadata`, and InputRefused if the charset is damaged.
    """
    packed = (read_metadata(source) or {}).get("charset")
    return len(unpack_charset(packed)) if isinstance(packed, str) else None


def techniques_of(source: Path | ModelFile) -> list[str]:
    """The techniques in force in a model file; none if it says nothing about itself."""
    file = open_file(source)
    if file.format is Format.ENGINE:
        listed = (file.sidecar or {}).get("techniques")
        names = (
            [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        )
        ours = (*TECHNIQUES, RERANKED)
        return _in_order(name for name in names if name in ours or _BOTTLENECK.fullmatch(name))
    if file.header is None:
        return []
    try:
        return techniques(config_of(file.header))
    except InputRefused:
        return []  # it says nothing that can be read of its configuration
