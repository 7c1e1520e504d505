"""Reads images with an exported recogniser. Needs onnxruntime, numpy and Pillow; no torch."""

from hcompress.runtime.onnx_reader import OnnxReader
from hcompress.runtime.reading import Candidate, Reading, readings

__all__ = ["Candidate", "OnnxReader", "Reading", "readings"]
