"""Model files as bytes on disk, read without torch, onnx or trust."""
