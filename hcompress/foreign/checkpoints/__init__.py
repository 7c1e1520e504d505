"""Checkpoints of known recognisers, PyTorch's or safetensors', as the ONNX graph they stand for.

No torch, and no pickle is run: tensors are told by their names and shapes, and written into a
graph.
"""
