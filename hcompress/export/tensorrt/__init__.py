"""Engines: the ONNX as TensorRT wants it, built and located."""
