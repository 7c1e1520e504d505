"""How a foreign body is distilled into itself in few bits. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hcompress.compress.body_options import Bits, Group, MeanBits
from hcompress.strict.schema import MOST_BATCH, MOST_IMAGES, Param


@dataclass(frozen=True, kw_only=True)
class DistilOptions:
    """What the weights are stored in, and how they are brought back."""

    bits: Bits = 4
    group: Group = 32
    mean_bits: MeanBits = None
    data: Annotated[
        Path | None,
        Param("images of lines, labelled or not; drawn ones if not given", data=True),
    ] = None
    images: Annotated[int, Param("lines it learns from, over and over", 1, MOST_IMAGES)] = 4000
    calibration: Annotated[int, Param("of them, lines that rounding begins by", 1, MOST_IMAGES)] = (
        256
    )
    steps: Annotated[int, Param("training steps; 0: rounding alone", 0)] = 300
    batch: Annotated[int, Param("lines a step", 1, MOST_BATCH)] = 16
    # Ten times as much breaks what rounding made good, and training never mends it.
    learning_rate: Annotated[float, Param("peak rate, in steps of a weight's grid", 0)] = 0.001
    feature_weight: Annotated[
        float, Param("of the distance between features, beside that between answers", 0)
    ] = 30.0  # every frame has features, few have an answer: they tell more of a step's way
    validate_every: Annotated[int, Param("steps between validations; 0 for none", 0)] = 100
    validation_images: Annotated[
        int, Param("lines after those it learns from that judge it", 1, MOST_IMAGES)
    ] = 200
    patience: Annotated[int, Param("validations without a gain before stopping; 0: never", 0)] = 3
    snapshot_every: Annotated[int, Param("steps between snapshots", 1, keyed=False)] = 50
