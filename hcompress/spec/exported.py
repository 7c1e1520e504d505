"""Names that the writer of an exported file and its readers agree on."""

from __future__ import annotations

ONNX_FILE = "model.onnx"
HEIGHT = "H"
WIDTH = "W"
ENCODER_FILE = "serving/encoder.onnx"
STEP_FILE = "serving/decoder-step.onnx"
CODEBOOK_FILE = "codebook.safetensors"
"""Codes made for a model, which lie beside it until its head has them."""
STEP = "growing-step"
"""The name of a loop's body whose caches grow; a file without it is run as it is."""
BIT_LOGITS = "step.bit_logits"
"""In there, or of a graph without a loop in the graph itself, a Hamming classifier's bit logits
[N, K]. The exporter takes both names from here."""
IDS = "ids"
"""A foreign recogniser's output of best classes alone."""
CONFIDENCE = "confidence"
"""The output beside it: how sure of each."""
