"""What is written down of a model, as JSON holds it."""

from __future__ import annotations

import math
from typing import Any

from hcompress.foreign.parts import parts_of
from hcompress.formats.open import ModelFile


def measure(model: ModelFile) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The breakdown of a model file, as JSON holds it, and the techniques in force."""
    from hcompress import sizes

    parts = parts_of(model)
    techniques = (*sizes.techniques_of(model), *parts.techniques)
    return sizes.breakdown(model, parts.groups).to_dict(), techniques


def finite(value: Any) -> Any:
    """``value`` without NaN and infinities, which JSON lacks: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return value
