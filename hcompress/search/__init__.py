"""Nearest code: the Hamming classifier's read-out, Eq. 7. See docs/bench.md."""

from hcompress.search.answers import Found, Ranked
from hcompress.search.backend import instruction_sets
from hcompress.search.index import CodeIndex, pack_signs

__all__ = ["CodeIndex", "Found", "Ranked", "instruction_sets", "pack_signs"]
