"""Labelled images: scene-text LMDB, label files and rendered text, behind one protocol."""

from hcompress.data.sample import DataSource, Sample
from hcompress.data.source import open_data

__all__ = ["DataSource", "Sample", "open_data"]
