"""An opaque body in torch: the ONNX graph of a foreign recogniser, run operator by operator."""
