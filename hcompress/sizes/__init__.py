"""What model files are made of, read without torch, onnx or trust.

``breakdown(path)`` is the entry: rows by component that add up to the file's bytes exactly.
"""

from hcompress.sizes.compare import Difference, compare
from hcompress.sizes.groups import GROUPS, group_of
from hcompress.sizes.measure import Format, breakdown, format_of, layout, model_file
from hcompress.sizes.metadata import REFINED, TECHNIQUES, read_metadata, techniques, techniques_of
from hcompress.sizes.model import Breakdown, Component, Layout, Piece

__all__ = [
    "GROUPS",
    "REFINED",
    "TECHNIQUES",
    "Breakdown",
    "Component",
    "Difference",
    "Format",
    "Layout",
    "Piece",
    "breakdown",
    "compare",
    "format_of",
    "group_of",
    "layout",
    "model_file",
    "read_metadata",
    "techniques",
    "techniques_of",
]
