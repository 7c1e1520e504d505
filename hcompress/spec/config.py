"""What decides a recogniser's shape. Torch-free, so that `inspect` can read it from a file."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from hcompress.errors import InputRefused, UsageError

LIMITS = {
    "width": (4, 4096),
    "ffn_width": (1, 16384),
    "heads": (1, 64),
    "depth": (1, 24),
    "max_steps": (1, 256),
    "backbone_width": (0.01, 8.0),
    "temperature": (1e-3, 1e4),
}
"""What a model may be. A hostile file must not make us allocate or compute what it does not
carry: depth costs time where layers are shared, and steps cost a mask of their square."""
INPUT_LIMITS = {"height": (8, 256), "width": (4, 2048), "mean": (-10.0, 10.0), "std": (1e-3, 10.0)}
CODE_LIMITS = (8, 4096)
"""Bits of a code."""
LEFT_OUT = {"classifier_bottleneck": None, "embedding_bottleneck": None, "refined": False}
"""Keys of the configuration that are left out where this is their value."""
FILED_AS = {"rerank": "refined"}
"""Fields whose key in files is another: what format 1 called them."""
CANDIDATES = 5
"""k: the answers a step gives, best first, and the codes a reranking recogniser looks at twice."""
HUGE = 1 << 64
"""More than any whole number in a configuration is."""
SHOWN = 60
"""Characters of a key or value that an error shows."""
SCALE = ".scale"
"""What an int8 weight's name is followed by in the name of its scales."""


class Backbone(StrEnum):
    MOBILENET_V2 = "mobilenet_v2"
    RESNET31 = "resnet31"


class Classifier(StrEnum):
    SOFTMAX = "softmax"
    HAMMING = "hamming"


class Embedding(StrEnum):
    LEARNED = "learned"
    HAMMING = "hamming"


class BatchNorm(StrEnum):
    LIVE = "live"
    FOLDED = "folded"


class Weights(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input: fitted to height x width, then (x / 255 - mean) / std."""

    height: int = 48
    width: int = 160
    channels: int = 3
    mean: float = 0.5
    std: float = 0.5


@dataclass(frozen=True)
class RecogniserConfig:
    """Everything that shapes a recogniser, apart from its characters."""

    backbone: Backbone = Backbone.MOBILENET_V2
    backbone_width: float = 1.0
    """Multiplies every channel count of the backbone but its output's."""
    width: int = 256
    """d: features of the encoder's and the decoder's vectors."""
    ffn_width: int = 1024
    heads: int = 8
    depth: int = 3
    """Decoder layers run, whether or not they share their weights."""
    ffn: bool = True
    shared_layers: bool = False
    classifier: Classifier = Classifier.SOFTMAX
    embedding: Embedding = Embedding.LEARNED
    code_length: int | None = None
    """K, in bits; None where neither classifier nor embedding is a Hamming one."""
    classifier_bottleneck: int | None = None
    """p: the softmax's V x d matrix is a V x p and a p x d one; None where it is one matrix."""
    embedding_bottleneck: int | None = None
    """The same of the learned embedding."""
    rerank: bool = False
    """Whether the bit logits choose among the nearest codes; see `Recogniser.refine`."""
    max_steps: int = 25
    """Decoding steps at most: the characters of a line and its EOS."""
    batch_norm: BatchNorm = BatchNorm.LIVE
    weights: Weights = Weights.FP32
    temperature: float = 1.0
    """Scores are divided by it before the softmax that gives confidences; fitted, not learned."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        _check_limits(self, LIMITS)
        if self.width % self.heads or self.width % 4:
            raise InputRefused(
                f"configuration: width {self.width} must be a multiple of 4 and of the"
                f" {self.heads} heads"
            )
        self._check_input()
        self._check_codes()
        self._check_bottlenecks()

    def _check_input(self) -> None:
        size = self.preprocessing
        _check_limits(size, INPUT_LIMITS, "preprocessing.")
        if size.height % 8 or size.width % 4:
            raise InputRefused(
                f"configuration: input {size.height}x{size.width} must be a multiple of 8x4"
            )
        if size.channels != 3:
            raise InputRefused("configuration: input must have 3 channels")

    def _check_codes(self) -> None:
        length = self.code_length
        low, high = CODE_LIMITS
        if self.uses_codes != (length is not None):
            raise InputRefused("configuration: code_length and the Hamming parts disagree")
        if length is not None and (length < low or length > high or length % 8):
            raise InputRefused(
                f"configuration: code_length {length} must be a multiple of 8 in {low}..{high}"
            )

        if self.rerank and self.classifier is not Classifier.HAMMING:
            raise InputRefused("configuration: rerank needs a Hamming classifier")

    def _check_bottlenecks(self) -> None:
        for key, has_matrix in (
            ("classifier_bottleneck", self.classifier is Classifier.SOFTMAX),
            ("embedding_bottleneck", self.embedding is Embedding.LEARNED),
        ):
            size = getattr(self, key)
            if size is None:
                continue
            if not has_matrix:
                raise InputRefused(f"configuration: {key} and a Hamming part disagree")
            if not 1 <= size <= self.width:
                raise InputRefused(f"configuration: {key} = {size}: must be 1 to {self.width}")

    def asked(self, **changes: Any) -> RecogniserConfig:
        """This one, changed as a user's parameters ask: no file is at fault where that can't be.

        Raises UsageError there.
        """
        try:
            return dataclasses.replace(self, **changes)
        except InputRefused as error:
            raise UsageError(str(error)) from None

    @property
    def factorised(self) -> bool:
        """Whether classifier or embedding goes through a bottleneck."""
        return self.classifier_bottleneck is not None or self.embedding_bottleneck is not None

    @property
    def uses_codes(self) -> bool:
        return self.classifier is Classifier.HAMMING or self.embedding is Embedding.HAMMING

    @property
    def stored_layers(self) -> int:
        """Decoder layers whose weights exist: 1 when shared."""
        return 1 if self.shared_layers else self.depth

    @property
    def memory_grid(self) -> tuple[int, int]:
        """Rows and columns of the encoder's output: 6x40 for a 48x160 input."""
        return self.preprocessing.height // 8, self.preprocessing.width // 4

    def to_dict(self) -> dict[str, Any]:
        """What came later only where it is used: files that lack it keep their bytes."""
        raw = {FILED_AS.get(key, key): value for key, value in dataclasses.asdict(self).items()}
        return {key: raw[key] for key in raw if key not in LEFT_OUT or raw[key] != LEFT_OUT[key]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> RecogniserConfig:
        """Read what `to_dict` wrote. Raises InputRefused on any other key, type or value."""
        values = dict(raw)
        for field_name, key in FILED_AS.items():
            if field_name in values:
                raise InputRefused(f"configuration: unknown key {field_name}")
            if key in values:
                values[field_name] = values.pop(key)
        preprocessing = values.pop("preprocessing", {})
        if not isinstance(preprocessing, Mapping):
            raise InputRefused("configuration: preprocessing is not a table")
        fitted = _read_fields(Preprocessing, preprocessing)
        config = _read_fields(cls, values)
        return dataclasses.replace(config, preprocessing=fitted)


def _check_limits(
    described: RecogniserConfig | Preprocessing,
    limits: Mapping[str, tuple[float, float]],
    prefix: str = "",
) -> None:
    for key, (low, high) in limits.items():
        value = getattr(described, key)
        if not low <= value <= high:  # so written that NaN fails too
            raise InputRefused(f"configuration: {prefix}{key} = {value}: must be {low} to {high}")


T = TypeVar("T")


def _read_fields(kind: type[T], raw: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in hints:
            raise InputRefused(f"configuration: unknown key {_short(key)}")
        values[key] = _read_value(key, hints[key], value)
    return kind(**values)


def _read_value(key: str, hint: Any, value: Any) -> Any:
    allowed = typing.get_args(hint) or (hint,)
    for kind in allowed:
        if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
            try:
                return kind(value)
            except ValueError:
                known = ", ".join(kind)
                raise InputRefused(
                    f"configuration: {key} = {_short(value)}; one of {known}"
                ) from None
        if kind is float and type(value) is int and abs(value) < HUGE:
            return float(value)
        if type(value) is kind:
            return value
    raise InputRefused(f"configuration: {key} has the wrong type: {_short(value)}")


def _short(value: Any) -> str:
    """As it would be typed, and no longer than a line has room for."""
    if isinstance(value, int) and abs(value) >= HUGE:
        return "a huge number"  # Python refuses to print the hugest
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
