"""What model files are made of, read without torch, onnx or trust.

``breakdown(file)`` is the entry: rows by component that add up to the file's bytes exactly.
"""

from hcompress.formats.layout import Layout, Piece
from hcompress.formats.open import Format, format_of, layout
from hcompress.sizes.breakdown import Breakdown, Component, breakdown
from hcompress.sizes.compare import Difference, compare
from hcompress.sizes.groups import GROUPS, group_of
from hcompress.sizes.techniques import (
    TECHNIQUES,
    characters_of,
    read_metadata,
    techniques,
    techniques_of,
)
from hcompress.spec.heads import RERANKED

__all__ = [
    "GROUPS",
    "RERANKED",
    "TECHNIQUES",
    "Breakdown",
    "Component",
    "Difference",
    "Format",
    "Layout",
    "Piece",
    "breakdown",
    "characters_of",
    "compare",
    "format_of",
    "group_of",
    "layout",
    "read_metadata",
    "techniques",
    "techniques_of",
]
