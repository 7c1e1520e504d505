"""Measurements of our own: benchmarks, studies, the paper's Table 1."""
