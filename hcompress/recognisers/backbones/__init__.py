"""Backbones, as torch modules and as ONNX nodes."""
