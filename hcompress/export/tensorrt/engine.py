"""From the serving form of an export to an engine and its sidecar.

The engine is one plan that decodes a whole batch: a server makes one call a batch, the codebook
is unpacked once a batch, and nothing goes back to the host between the steps. Servers that mix
lines at different steps take `serving/` itself and build the two parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from hcompress.errors import InputRefused, UsageError
from hcompress.export.options import Library
from hcompress.export.tensorrt.builder import Built, Flavour, Profile, build, find_library
from hcompress.export.tensorrt.locate import locate_weights
from hcompress.export.tensorrt.whole_loop import whole_loop
from hcompress.formats.engine import PLAN_FILE, SIDECAR_FILE, seal
from hcompress.formats.layout import Layout
from hcompress.formats.open import ModelFile, Source, folder_of
from hcompress.sizes.breakdown import tally
from hcompress.sizes.techniques import techniques
from hcompress.spec.exported import ENCODER_FILE, STEP_FILE
from hcompress.spec.header import ModelMetadata, read_header


def build_engine(
    source: Source, library: Library, targets: Sequence[str], profile: Profile, threads: int
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The engine's files by name, and the report's figures.

    ``source`` is the folder the `onnx` stage wrote, or the `model.onnx` in it. Raises UsageError
    where its serving form is not there, InputRefused where it is damaged, EnvironmentFailed
    where there is no TensorRT or it fails.
    """
    folder = folder_of(source)
    flavour = find_library(library)
    parts = {name: _read(folder / name) for name in (ENCODER_FILE, STEP_FILE)}
    texts = {text for _, text in parts.values()}
    if len(texts) != 1:
        raise InputRefused(f"{folder}: encoder and decoder step are not of one export")
    metadata = texts.pop()
    whole = whole_loop(*(onnx.load_from_string(data) for data, _ in parts.values()))
    built = build(flavour, whole.SerializeToString(), profile, targets, threads)
    figures = _figures(flavour, built, whole, metadata)
    figures["sources"] = {name: _recorded(data) for name, (data, _) in parts.items()}
    sidecar = seal({**figures, "hcompress": metadata})
    report = {key: figures[key] for key in _REPORTED}
    return {PLAN_FILE: built.plan, SIDECAR_FILE: sidecar}, report


_REPORTED = ("library", "compute_capabilities", "profiles", "precision", "growth", "sources")


def _read(path: Path) -> tuple[bytes, str]:
    """A serving file and its metadata, its structure checked before it is parsed."""
    if not path.is_file():
        raise UsageError(f"{path}: an engine is built from the serving form the onnx stage writes")
    opened = ModelFile(path)
    text = opened.layout.metadata
    if text is None or any(piece.file != path for piece in opened.layout.pieces):
        raise InputRefused(f"{path}: not a serving file this tool wrote: export it again")
    read_header(opened)
    with opened.stream() as stream:
        return stream.read(), text


def _figures(
    flavour: Flavour, built: Built, whole: onnx.ModelProto, metadata: str
) -> dict[str, Any]:
    empty = Layout(Path(PLAN_FILE), len(built.plan), ())
    breakdown = tally(locate_weights(built.plan, whole, empty))
    config = ModelMetadata.from_json(metadata).config
    return {
        "plan": {"file": PLAN_FILE, **_recorded(built.plan)},
        "library": {"name": str(flavour.library), "version": flavour.version},
        "compute_capabilities": list(built.targets),
        "profiles": list(built.profiles),
        "inputs": [_end(entry) for entry in whole.graph.input],
        "outputs": [_end(entry) for entry in whole.graph.output],
        "precision": {"onnx": _onnx_precision(whole), **built.precision},
        "breakdown": breakdown.to_dict(),
        "growth": _growth(whole, breakdown.to_dict()),
        "techniques": techniques(config),
    }


def _growth(whole: onnx.ModelProto, breakdown: dict[str, Any]) -> dict[str, Any]:
    """The plan against the graph it was built from."""
    before = len(whole.SerializeToString())
    after = breakdown["bytes"]
    codebooks = [len(t.raw_data) for t in whole.graph.initializer if "codebook" in t.name]
    rows = {row["name"]: row["bytes"] for row in breakdown["components"]}
    return {
        "onnx_bytes": before,
        "plan_bytes": after,
        "factor": round(after / before, 3),
        "codebook_onnx_bytes": sum(codebooks),
        "codebook_plan_bytes": rows.get("codebook", 0),
    }


def _onnx_precision(whole: onnx.ModelProto) -> str:
    """What the caches are in is what the network computes in."""
    loop = next(node for node in whole.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    kinds = {entry.name: entry.type.tensor_type.elem_type for entry in body.input}
    return "fp16" if kinds["keys"] == onnx.TensorProto.FLOAT16 else "fp32"


def _end(entry: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = entry.type.tensor_type
    return {
        "name": entry.name,
        "type": onnx.TensorProto.DataType.Name(kind.elem_type).lower(),
        "shape": [side.dim_param or side.dim_value for side in kind.shape.dim],
    }


def _recorded(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
