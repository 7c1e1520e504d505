"""Rendered text: images of random strings and words, made from a small TOML spec."""
