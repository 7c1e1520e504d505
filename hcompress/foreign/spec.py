"""What a foreign recogniser means, without its graph. Imports onnx only if it has to look."""

from __future__ import annotations

from pathlib import Path

from hcompress.errors import InputRefused
from hcompress.foreign.header import foreign_header
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.formats.open import ModelFile, Source, open_file
from hcompress.spec.exported import ONNX_FILE
from hcompress.spec.foreign import ForeignSpec
from hcompress.strict.files import shown


def open_spec(source: Source, options: ImportOptions = AS_FOUND) -> ForeignSpec:
    """Of a file made here, what its header says; of any other, what `open_foreign` finds.

    Raises as `hcompress.foreign.open.open_foreign`.
    """
    file = open_file(source, ONNX_FILE, "ONNX file")
    header = foreign_header(file)
    if header is not None:
        if file.layout.control:
            raise InputRefused(f"{shown(file.path)}: damaged: has loops or branches: not run")
        return header.spec
    from hcompress.foreign.open import open_foreign

    return open_foreign(file, options).spec


def runnable(file: ModelFile) -> Path | bytes:
    """What onnxruntime loads: the file, or the graph that a checkpoint stands for.

    Raises as `hcompress.foreign.graph.load_graph`.
    """
    if not file.bare:
        return file.path
    from hcompress.foreign.graph import load_stored

    return bytes(load_stored(file).SerializeToString())
