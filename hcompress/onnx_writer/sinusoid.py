"""Sinusoidal positions as nodes: computed where they are used, a file has no table of them."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from hcompress.onnx_writer.graph import Graph


def sinusoid_nodes(g: Graph, length: str, width: int) -> str:
    """length int64 [1] -> float32 [length, width], as `recognisers.attention.sinusoid` has it."""
    pairs = np.arange(0, width, 2, dtype=np.float64)
    rates = np.repeat(np.exp(pairs * (-math.log(1e4) / width)), 2)
    phases = np.tile([0.0, math.pi / 2], len(pairs))
    count = g.op("Squeeze", length, g.ints(0))
    zero, one = (g.number(value, TensorProto.INT64) for value in (0, 1))
    places = g.to(g.op("Range", zero, count, one), TensorProto.FLOAT)
    column = g.op("Unsqueeze", places, g.ints(1))
    angles = g.op("Mul", column, g.constant(rates.astype(np.float32)))
    return g.op("Sin", g.op("Add", angles, g.constant(phases.astype(np.float32))))
