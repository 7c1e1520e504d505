"""Recognisers from elsewhere: an ONNX graph of which we know where its classifier begins."""
