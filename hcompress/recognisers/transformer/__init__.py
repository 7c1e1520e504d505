"""The paper's encoder-decoder."""
