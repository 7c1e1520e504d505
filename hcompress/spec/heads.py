"""What a recogniser's head is: how it stores its classes, and the tensors that takes. Torch-free.

A head has two halves. The classifier answers from decision features h; the inputs (the output
embedding) turn the last answer into what the decoder is given, and a CTC recogniser has none.
V = vocabulary, d = width, K = code length, p = bottleneck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from hcompress.errors import InputRefused, UsageError

CODEBOOK: Final = "codebook"
"""The packed codes belong to the recogniser: classifier and inputs share them."""
CODE_LIMITS: Final = (8, 4096)
"""Bits of a code."""
MOST_BOTTLENECK: Final = 4096


@dataclass(frozen=True)
class Stored:
    """One tensor of a head, as a file has it."""

    shape: tuple[int, ...]
    packed: bool = False
    """Bytes of eight bits each: stored as they are, whatever the weights are stored as."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


Tensors = Mapping[str, Stored]
"""By the name each has in a file."""


@dataclass(frozen=True)
class HeadSpec:
    """A classifier: the base of each kind. A kind's own fields are what `head` has in a header."""

    kind: ClassVar[str]
    """The tag under which it stands in a header."""

    @property
    def code_length(self) -> int | None:
        """K, if characters have codes."""
        return None

    @property
    def searched(self) -> bool:
        """Whether a reader may rank outside of the graph, from the logits that the graph gives."""
        return False

    @property
    def described(self) -> str:
        """What it is, as an error says it: "the classifier is ..."."""
        return f"a {self.kind} one"

    def tensors(self, vocabulary: int, width: int) -> Tensors:
        """What it stores, by name. Sizes, checks and forecasts go by this alone."""
        raise NotImplementedError

    def techniques(self) -> tuple[str, ...]:
        """What of the paper (or of ours) is in force, as tables call it."""
        return ()

    def check(self, width: int) -> None:
        """Raise InputRefused if there is no such head over features of this width."""


class InputsSpec(HeadSpec):
    """The other half of a head: what stands for a character where the decoder is given one."""


@dataclass(frozen=True)
class Softmax(HeadSpec):
    """A column of d weights per character, or of p behind one d -> p projection."""

    bottleneck: int | None = None

    kind: ClassVar[str] = "softmax"

    @property
    def described(self) -> str:
        return _whole_or_factorised("a softmax", self.bottleneck)

    def tensors(self, vocabulary: int, width: int) -> Tensors:
        return _matrix("classifier", "columns", self.bottleneck, vocabulary, width)

    def techniques(self) -> tuple[str, ...]:
        return _factorised("Softmax", self.bottleneck)

    def check(self, width: int) -> None:
        _check_bottleneck("classifier", self.bottleneck, width)


@dataclass(frozen=True)
class Hamming(HeadSpec):
    """K bit logits, read out as the nearest code (Eq. 5 and 7)."""

    length: int
    """K, in bits."""
    rerank: bool = False
    """Whether the bit logits choose among the nearest codes."""

    kind: ClassVar[str] = "hamming"

    @property
    def described(self) -> str:
        return "a Hamming one"

    @property
    def code_length(self) -> int | None:
        return self.length

    @property
    def searched(self) -> bool:
        return True

    def tensors(self, vocabulary: int, width: int) -> Tensors:
        return _coded("classifier.projection.weight", (self.length, width), self.length, vocabulary)

    def techniques(self) -> tuple[str, ...]:
        return (HAMMING_CLASSIFIER, *([RERANKED] if self.rerank else []))

    def check(self, width: int) -> None:
        _check_length(self.length)


@dataclass(frozen=True)
class Learned(InputsSpec):
    """A vector of d numbers per character, or of p before one p -> d projection."""

    bottleneck: int | None = None

    kind: ClassVar[str] = "learned"

    @property
    def described(self) -> str:
        return _whole_or_factorised("a learned one", self.bottleneck)

    def tensors(self, vocabulary: int, width: int) -> Tensors:
        return _matrix("embedding", "rows", self.bottleneck, vocabulary, width)

    def techniques(self) -> tuple[str, ...]:
        return _factorised("Embedding", self.bottleneck)

    def check(self, width: int) -> None:
        _check_bottleneck("embedding", self.bottleneck, width)


@dataclass(frozen=True)
class HammingInputs(InputsSpec):
    """The character's code, as signs, through one K -> d projection."""

    length: int

    kind: ClassVar[str] = "hamming"

    @property
    def described(self) -> str:
        return "a Hamming one"

    @property
    def code_length(self) -> int | None:
        return self.length

    def tensors(self, vocabulary: int, width: int) -> Tensors:
        return _coded("embedding.projection.weight", (width, self.length), self.length, vocabulary)

    def techniques(self) -> tuple[str, ...]:
        return (HAMMING_EMBEDDING,)

    def check(self, width: int) -> None:
        _check_length(self.length)


HEADS: Final[dict[str, type[HeadSpec]]] = {s.kind: s for s in (Softmax, Hamming)}
INPUTS: Final[dict[str, type[InputsSpec]]] = {s.kind: s for s in (Learned, HammingInputs)}

HAMMING_CLASSIFIER: Final = "Hamming Classifier"
HAMMING_EMBEDDING: Final = "Hamming Embedding"
RERANKED: Final = "Reranked (ours)"
"""Bit logits choose among the nearest codes. It costs no weight; the paper has nothing like it."""


def reranking(spec: HeadSpec) -> HeadSpec:
    """The same with a second look at the nearest codes. Raises UsageError if it has no codes."""
    if not isinstance(spec, Hamming):
        raise UsageError("rerank is for a Hamming classifier: leave it out")
    return replace(spec, rerank=True)


def with_learnt_codes(
    head: HeadSpec, inputs: InputsSpec | None, length: int, *, embedding: bool, rerank: bool
) -> tuple[HeadSpec, InputsSpec | None]:
    """Both halves once codes of ``length`` bits are learnt for them.

    Codes take the place of a whole softmax, and, with ``embedding``, of a whole learned one too.
    Raises UsageError if the softmax is factorised, or the embedding alone has codes by now.
    """
    if head.code_length is None:
        if head != Softmax():
            raise UsageError(
                f"the classifier is {head.described}: codes are learnt for a whole softmax or a"
                " Hamming classifier"
            )
        if inputs is not None and inputs.code_length is not None:
            raise UsageError(
                "the embedding has codes and the classifier has none: replace-head gives both the"
                " same"
            )
        head = Hamming(length)
    if embedding and inputs == Learned():
        inputs = HammingInputs(length)
    return (reranking(head) if rerank else head), inputs


def _matrix(
    part: str, table: str, bottleneck: int | None, vocabulary: int, width: int
) -> dict[str, Stored]:
    """Of a [V, d] matrix, whole or as a [V, p] ``table`` and a projection."""
    if bottleneck is None:
        return {f"{part}.weight": Stored((vocabulary, width))}
    projection = (bottleneck, width) if part == "classifier" else (width, bottleneck)
    return {
        f"{part}.{table}.weight": Stored((vocabulary, bottleneck)),
        f"{part}.projection.weight": Stored(projection),
    }


def _coded(name: str, shape: tuple[int, int], length: int, vocabulary: int) -> dict[str, Stored]:
    return {name: Stored(shape), CODEBOOK: Stored((vocabulary, length // 8), packed=True)}


def _whole_or_factorised(whole: str, bottleneck: int | None) -> str:
    return whole if bottleneck is None else f"factorised already (p = {bottleneck})"


def _factorised(part: str, bottleneck: int | None) -> tuple[str, ...]:
    """The technique that the paper compares with (Figure 4)."""
    return () if bottleneck is None else (f"Factorised {part} (p = {bottleneck})",)


def _check_length(length: int) -> None:
    low, high = CODE_LIMITS
    if not low <= length <= high or length % 8:
        raise InputRefused(f"code_length {length} must be a multiple of 8 in {low}..{high}")


def _check_bottleneck(part: str, bottleneck: int | None, width: int) -> None:
    if bottleneck is not None and not 1 <= bottleneck <= width:
        raise InputRefused(f"{part}_bottleneck = {bottleneck}: must be 1 to {width}")
