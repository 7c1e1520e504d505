"""Writes a foreign recogniser as a file that drops in where the old one ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import ModelProto

from hcompress.spec.foreign import ForeignSpec
from hcompress.spec.foreign_header import CHARACTERS, header_json
from hcompress.spec.header import KEY, Provenance


def with_header(
    proto: ModelProto,
    spec: ForeignSpec,
    provenance: Provenance,
    classifier: Mapping[str, Any] | None = None,
) -> bytes:
    """The file's bytes: the graph and metadata as they are, and our header beside them.

    The same bytes for the same contents, always. ``classifier`` names the classifier's tensors,
    for size tables; `open_foreign` looks for it in the graph.
    """
    made = ModelProto()
    made.CopyFrom(proto)
    said = {one.key: one.value for one in made.metadata_props if one.key != KEY}
    said[KEY] = header_json(spec, provenance, classifier, said.get(CHARACTERS))
    del made.metadata_props[:]
    for key, value in said.items():
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    data: bytes = made.SerializeToString(deterministic=True)
    return data
