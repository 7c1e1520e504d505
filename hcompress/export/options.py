"""Choices of an export, torch-free."""

from __future__ import annotations

from enum import StrEnum


class Library(StrEnum):
    """What builds the engine."""

    AUTO = "auto"
    """TensorRT where it is installed and a GPU is there, else TensorRT-RTX."""
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


class ServingPrecision(StrEnum):
    """What the serving form computes in."""

    AUTO = "auto"
    """FP16 where the checkpoint is FP16 or int8 and every text stays the same, else FP32."""
    FP16 = "fp16"
    FP32 = "fp32"


class Outputs(StrEnum):
    """What a foreign recogniser answers."""

    SAME = "same"
    """What the original did."""
    IDS = "ids"
    """Each frame's best class and its probability; no scores."""
