"""The CTC family: a column of the image is a step, of a line of any width. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from hcompress.errors import InputRefused
from hcompress.spec.config import LIMITS, MOBILENET, Backbone, RecogniserConfig
from hcompress.spec.heads import InputsSpec
from hcompress.spec.preprocessing import AnyWidth
from hcompress.spec.transcription import Scheme, Transcription

BLANK: Final = Transcription(Scheme.CTC, ("<blank>",), blank=0)
"""Of every CTC recogniser of ours: the blank is the first class, with a code of its own."""
PITCHES: Final = (4, 8)


@dataclass(frozen=True, kw_only=True)
class CtcConfig(RecogniserConfig):
    """A backbone of ours over lines of any width, a neck over its columns, and the head at each."""

    family: ClassVar[str] = "ctc"
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **LIMITS, "max_steps": (1, 512), "neck": (0, 8), "neck_width": (4, 1024),
    }  # fmt: skip

    inputs: InputsSpec | None = None
    transcription: Transcription = BLANK
    preprocessing: AnyWidth = field(default_factory=lambda: AnyWidth(width=1280))
    max_steps: int = 320
    """T of the widest line: its width over the pitch."""
    backbone: Backbone = Backbone.MOBILENET_V2
    backbone_width: float = 1.0
    """Multiplies every channel count of the backbone but its output's."""
    pitch: int = 4
    """Pixels of the input from step to step."""
    neck: int = 2
    """Self-attention blocks over the columns; 0 for none."""
    neck_width: int = 128
    """Features inside of the neck."""
    ffn_width: int = 256
    """Of the neck's feed-forward networks."""
    heads: int = 4
    """Of the neck's attention."""

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.preprocessing
        if self.inputs is not None:
            raise InputRefused("inputs: a CTC recogniser is given none of its answers")
        if self.transcription.scheme is not Scheme.CTC:
            raise InputRefused("transcription: steps are places along the line (ctc)")
        if self.pitch not in PITCHES:
            raise InputRefused(f"pitch = {self.pitch}: must be {' or '.join(map(str, PITCHES))}")
        if size.height % 16 or size.bucket % 8:
            raise InputRefused(
                f"input height {size.height} must be a multiple of 16, bucket {size.bucket} of 8"
            )
        if self.max_steps * self.pitch != size.width:
            raise InputRefused(
                f"max_steps = {self.max_steps}: must be the input's width {size.width} over the"
                f" pitch {self.pitch}"
            )
        if self.neck_width % self.heads:
            raise InputRefused(
                f"neck_width {self.neck_width} must be a multiple of the {self.heads} heads"
            )

    def layers(self) -> dict[str, Any]:
        return {"neck": self.neck}

    def body_techniques(self) -> tuple[str, ...]:
        return (MOBILENET,) if self.backbone is Backbone.MOBILENET_V2 else ()
