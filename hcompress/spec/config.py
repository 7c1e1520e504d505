"""What decides a recogniser's shape. Torch-free, so that `inspect` can read it from a file.

Format 2 of the header holds a configuration as it is here (`families.py`), format 1 another way
(`flat.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, Self, TypeVar

from hcompress.errors import InputRefused, UsageError
from hcompress.spec.heads import HeadSpec, InputsSpec, Learned, Softmax, Tensors
from hcompress.spec.preprocessing import INPUT_LIMITS, Preprocessing
from hcompress.spec.transcription import AUTOREGRESSIVE, Scheme, Transcription

LIMITS: Final = {
    "width": (4, 4096),
    "ffn_width": (1, 16384),
    "heads": (1, 64),
    "depth": (1, 24),
    "encoder_depth": (0, 24),
    "max_steps": (1, 256),
    "backbone_width": (0.01, 8.0),
    "temperature": (1e-3, 1e4),
}
"""What a model may be. A hostile file must not make us allocate or compute what it does not
carry: depth costs time where layers are shared, and steps cost a mask of their square."""
CANDIDATES: Final = 5
"""k: the answers a step gives, best first, and the codes a reranking head looks at twice."""
SCALE: Final = ".scale"
"""What an int8 weight's name is followed by in the name of its scales."""


C = TypeVar("C", bound="RecogniserConfig")


class Backbone(StrEnum):
    MOBILENET_V2 = "mobilenet_v2"
    RESNET31 = "resnet31"
    MAGC_RESNET31 = "magc_resnet31"
    """The same, its global context after the shortcut: docTR's."""
    MAGC_RESNET31_LINEAR = "magc_resnet31_linear"
    """That without the ReLU behind its second convolution, which docTR 1.1 has lost."""
    NRTR = "nrtr"
    """Two convolutions, and layers of attention over columns: OpenOCR's."""


class BatchNorm(StrEnum):
    LIVE = "live"
    FOLDED = "folded"


class Weights(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, kw_only=True)
class RecogniserConfig:
    """What every family of recognisers has; a family's own class adds what shapes its body."""

    family: ClassVar[str]
    """The tag under which it stands in a header of format 2."""
    limits: ClassVar[Mapping[str, tuple[float, float]]] = LIMITS

    width: int = 256
    """d: features of a decision, which the head answers from."""
    head: HeadSpec = field(default_factory=Softmax)
    inputs: InputsSpec | None = field(default_factory=Learned)
    """The head's other half; None if nothing is given back to the body."""
    transcription: Transcription = AUTOREGRESSIVE
    depth: int = 1
    """Layers over the steps, whether or not they share their weights."""
    max_steps: int = 25
    """T: steps at most; of a decoder the characters of a line and its EOS."""
    batch_norm: BatchNorm = BatchNorm.LIVE
    weights: Weights = Weights.FP32
    temperature: float = 1.0
    """Scores are divided by it before the softmax that gives confidences; fitted, not learned."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        _check_limits(self, self.limits)
        _check_limits(self.preprocessing, INPUT_LIMITS, "preprocessing.")
        if self.preprocessing.channels != 3:
            raise InputRefused("input must have 3 channels")
        self.head.check(self.width)
        if self.inputs is not None:
            self.inputs.check(self.width)
        lengths = {self.head.code_length, self.inputs and self.inputs.code_length} - {None}
        if len(lengths) > 1:
            raise InputRefused("codes of two lengths: head and inputs share one")

    def asked(self, **changes: Any) -> Self:
        """This one, changed as a user's parameters ask: no file is at fault if that can't be.

        Raises UsageError then.
        """
        for key in sorted(changes.keys() - {entry.name for entry in dataclasses.fields(self)}):
            raise UsageError(f"a recogniser of the family {self.family} has no {key}")
        try:
            return dataclasses.replace(self, **changes)
        except InputRefused as error:
            raise UsageError(str(error)) from None

    @property
    def code_length(self) -> int | None:
        """K; None if there is no codebook."""
        return self.head.code_length or (self.inputs and self.inputs.code_length) or None

    @property
    def uses_codes(self) -> bool:
        return self.code_length is not None

    def head_tensors(self, vocabulary: int) -> Tensors:
        """Those of both halves of the head, shared ones once. ``vocabulary`` is V."""
        halves = [self.head, *([self.inputs] if self.inputs is not None else [])]
        return {k: v for half in halves for k, v in half.tensors(vocabulary, self.width).items()}

    def halves(self) -> dict[str, str | None]:
        """Kinds of classifier and embedding, as reports name them."""
        return {
            "classifier": self.head.kind,
            "embedding": self.inputs.kind if self.inputs else None,
        }

    def layers(self) -> dict[str, Any]:
        """What reports say of the layers over the steps."""
        return {}

    def body_techniques(self) -> tuple[str, ...]:
        """What of the paper is in force in the body, as tables call it."""
        return ()

    def techniques(self) -> tuple[str, ...]:
        """What is in force, as tables call it; in no order."""
        halves = self.head.techniques() + (self.inputs.techniques() if self.inputs else ())
        weights = {Weights.FP32: (), Weights.FP16: (FP16,), Weights.INT8: (INT8,)}[self.weights]
        return (*self.body_techniques(), *halves, *weights)


MOBILENET: Final = "MobileNetV2"
NO_FFN: Final = "No Feed-Forward"
SHARED_LAYERS: Final = "Cross-layer Parameter Sharing"
FP16: Final = "Half-Precision Float (FP16)"
INT8: Final = "INT8"


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(RecogniserConfig):
    """The paper's encoder-decoder: a backbone over a line of one size, then D decoder layers."""

    family: ClassVar[str] = "transformer"

    backbone: Backbone = Backbone.MOBILENET_V2
    backbone_width: float = 1.0
    """Multiplies every channel count of the backbone but its output's."""
    ffn_width: int = 1024
    heads: int = 8
    """Of attention."""
    depth: int = 3
    ffn: bool = True
    shared_layers: bool = False
    encoder_depth: int = 0
    """Layers of attention in a backbone that has such."""
    post_norm: bool = False
    """Whether each sub-layer's sum is normalised, and not what the sub-layer is given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inputs is None:
            raise InputRefused("inputs: a decoder is given its last answer")
        if self.transcription.scheme is not Scheme.EOS:
            raise InputRefused("transcription: a decoder's lines end with EOS")
        if max(self.transcription.pad or 0, self.transcription.bos or 0) > (
            self.transcription.eos or 0
        ):  # the graph takes every id above EOS for a character, and goes on
            raise InputRefused("transcription: a decoder's EOS comes after its PAD and BOS")
        if self.width % self.heads or self.width % 4:
            raise InputRefused(
                f"width {self.width} must be a multiple of 4 and of the {self.heads} heads"
            )
        size = self.preprocessing
        if size.height % 8 or size.width % 4:
            raise InputRefused(f"input {size.height}x{size.width} must be a multiple of 8x4")
        columns = self.backbone is Backbone.NRTR
        if columns and (self.width % (size.height // 2) or not self.encoder_depth):
            raise InputRefused(
                f"backbone nrtr: width {self.width} must be a multiple of half the height"
                f" {size.height}, and encoder_depth 1 or more"
            )

    @property
    def stored_layers(self) -> int:
        """Decoder layers whose weights exist: 1 when shared."""
        return 1 if self.shared_layers else self.depth

    @property
    def memory_grid(self) -> tuple[int, int]:
        """Rows and columns of the encoder's output: 6x40 for a 48x160 input."""
        rows = 1 if self.backbone is Backbone.NRTR else self.preprocessing.height // 8
        return rows, self.preprocessing.width // 4

    def layers(self) -> dict[str, Any]:
        return {"ffn": self.ffn, "stored_layers": self.stored_layers}

    def body_techniques(self) -> tuple[str, ...]:
        found = {
            MOBILENET: self.backbone is Backbone.MOBILENET_V2,
            NO_FFN: not self.ffn,
            SHARED_LAYERS: self.shared_layers,
        }
        return tuple(name for name, there in found.items() if there)


def _check_limits(
    described: RecogniserConfig | Preprocessing,
    limits: Mapping[str, tuple[float, float]],
    prefix: str = "",
) -> None:
    for key, (low, high) in limits.items():
        value = getattr(described, key, None)
        if value is not None and not low <= value <= high:  # so written that NaN fails too
            raise InputRefused(f"{prefix}{key} = {value}: must be {low} to {high}")


def with_halves(rest: C, head: HeadSpec, inputs: InputsSpec | None) -> C:
    """What a file says of a configuration, put together. Raises InputRefused if there is none."""
    try:
        return dataclasses.replace(rest, head=head, inputs=inputs)
    except InputRefused as error:
        raise InputRefused(f"configuration: {error}") from None


def table_of(raw: object, where: str) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise InputRefused(f"{where}: not a table")
    return dict(raw)
