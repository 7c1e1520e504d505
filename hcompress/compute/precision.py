"""The choice of arithmetic, apart from device.py so that stages can name it without torch."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    AUTO = "auto"
    """bf16 where the hardware multiplies it natively, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"
