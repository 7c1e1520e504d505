"""Labelled images: scene-text LMDB, label files and rendered text, behind one protocol."""

from hcompress.data.source import DataSource, Sample, open_data

__all__ = ["DataSource", "Sample", "open_data"]
