"""What a file says about its recogniser, without loading it: metadata and techniques."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hcompress.artifacts.source import model_file
from hcompress.charset import unpack_charset
from hcompress.errors import InputRefused
from hcompress.formats import engine, safetensors
from hcompress.formats import onnx as onnxfile
from hcompress.formats.open import Format, format_of
from hcompress.strict.files import shown
from hcompress.strict.json import strict_json

MOBILENET = "MobileNetV2"
HAMMING_CLASSIFIER = "Hamming Classifier"
HAMMING_EMBEDDING = "Hamming Embedding"
NO_FFN = "No Feed-Forward"
SHARED_LAYERS = "Cross-layer Parameter Sharing"
FP16 = "Half-Precision Float (FP16)"
INT8 = "INT8"
TECHNIQUES: tuple[str, ...] = (
    MOBILENET, HAMMING_CLASSIFIER, HAMMING_EMBEDDING, NO_FFN, SHARED_LAYERS, FP16, INT8,
)  # fmt: skip
"""Names and order as in the paper's Table 1."""
RERANKED = "Reranked (ours)"
"""Bit logits choose among the nearest codes. It costs no weight; the paper has nothing like it."""
BOTTLENECKS: dict[str, str] = {
    "classifier_bottleneck": "Factorised Softmax",
    "embedding_bottleneck": "Factorised Embedding",
}
"""The technique that the paper compares with (Figure 4), by the configuration's key for its p."""
_BOTTLENECK = re.compile(rf"({'|'.join(BOTTLENECKS.values())}) \(p = [1-9][0-9]{{0,3}}\)")
_IN_FORCE: dict[str, tuple[str, object]] = {
    MOBILENET: ("backbone", "mobilenet_v2"),
    HAMMING_CLASSIFIER: ("classifier", "hamming"),
    HAMMING_EMBEDDING: ("embedding", "hamming"),
    NO_FFN: ("ffn", False),
    SHARED_LAYERS: ("shared_layers", True),
    FP16: ("weights", "fp16"),
    INT8: ("weights", "int8"),
}


def techniques(config: Mapping[str, Any]) -> list[str]:
    """The paper's techniques a RecogniserConfig (as a dict) has in force, in Table 1's order.

    Those of its Figure 4 follow, and ours.
    """
    found = []
    for name in TECHNIQUES:
        key, wanted = _IN_FORCE[name]
        value = config.get(key)
        # 0 == False to Python: the type counts too, a missing key is never "off".
        if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
            found.append(name)
    names = [f"{name} (p = {config[key]})" for key, name in BOTTLENECKS.items() if key in config]
    found += [name for name in names if _BOTTLENECK.fullmatch(name)]
    return found + [RERANKED] * (config.get("refined") is True)


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The "hcompress" JSON of a safetensors or ONNX file; None where the file has none.

    Torch-free; reads the header (safetensors) or walks the fields (ONNX). Raises UsageError
    and InputRefused as `sizes.breakdown` does.
    """
    file = model_file(path)
    kind = format_of(file)
    text = None
    if kind is Format.SAFETENSORS:
        text = safetensors.layout(file).metadata
    elif kind is Format.ONNX:
        text = onnxfile.layout(file).metadata
    if text is None:
        return None
    where = f"{shown(file)}: hcompress metadata"
    value = strict_json(text, where)
    if not isinstance(value, dict):
        raise InputRefused(f"{where}: is not a JSON object")
    return value


def characters_of(path: Path) -> int | None:
    """How many characters a safetensors or ONNX file of ours knows; None if it does not say.

    Raises as `read_metadata`, and InputRefused if the charset is damaged.
    """
    packed = (read_metadata(path) or {}).get("charset")
    return len(unpack_charset(packed)) if isinstance(packed, str) else None


def techniques_of(path: Path) -> list[str]:
    """The techniques in force in a model file; none where it says nothing about itself."""
    file = model_file(path)
    if format_of(file) is Format.ENGINE:
        listed = (engine.read_sidecar(file) or {}).get("techniques")
        known = listed if isinstance(listed, list) else []
        bottlenecks = [n for n in known if isinstance(n, str) and _BOTTLENECK.fullmatch(n)]
        named = [name for name in TECHNIQUES if name in known]
        return named + bottlenecks + [RERANKED] * (RERANKED in known)
    config = (read_metadata(file) or {}).get("config")
    return techniques(config) if isinstance(config, dict) else []
