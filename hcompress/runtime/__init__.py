"""Reads images with an exported recogniser. Needs onnxruntime, numpy and Pillow; no torch."""

from hcompress.runtime.portable import OnnxReader
from hcompress.runtime.reading import Candidate, Reading, readings

__all__ = ["Candidate", "OnnxReader", "Reading", "readings"]
