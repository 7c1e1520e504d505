"""Format 1 of a configuration: head and inputs lie flat among a transformer's other keys.

It is read, and it is still what a recogniser is written as that it can say: such files keep their
bytes, and older versions read them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from hcompress.errors import InputRefused
from hcompress.spec.config import RecogniserConfig, TransformerConfig, table_of, with_halves
from hcompress.spec.heads import Hamming, HammingInputs, HeadSpec, InputsSpec, Learned, Softmax
from hcompress.spec.transcription import AUTOREGRESSIVE
from hcompress.strict.read import read


class _Classifier(StrEnum):
    SOFTMAX = "softmax"
    HAMMING = "hamming"


class _Embedding(StrEnum):
    LEARNED = "learned"
    HAMMING = "hamming"


@dataclass(frozen=True)
class _FlatHead:
    """What format 1 says of a head, among a transformer's other keys."""

    classifier: _Classifier = _Classifier.SOFTMAX
    embedding: _Embedding = _Embedding.LEARNED
    code_length: int | None = None
    classifier_bottleneck: int | None = None
    embedding_bottleneck: int | None = None
    refined: bool = False

    def halves(self) -> tuple[HeadSpec, InputsSpec]:
        hamming = self.classifier is _Classifier.HAMMING
        coded = self.embedding is _Embedding.HAMMING
        if (hamming or coded) != (self.code_length is not None):
            raise InputRefused("configuration: code_length and the Hamming parts disagree")
        if self.refined and not hamming:
            raise InputRefused("configuration: refined needs a Hamming classifier")
        for key, has_codes in (("classifier_bottleneck", hamming), ("embedding_bottleneck", coded)):
            if has_codes and getattr(self, key) is not None:
                raise InputRefused(f"configuration: {key} and a Hamming part disagree")
        length = self.code_length or 0
        head = Hamming(length, self.refined) if hamming else Softmax(self.classifier_bottleneck)
        return head, HammingInputs(length) if coded else Learned(self.embedding_bottleneck)


_LATER: Final = {"classifier_bottleneck": None, "embedding_bottleneck": None, "refined": False}
"""Keys that format 1 came by later: left out where this is their value."""
_UNSAID: Final = {"encoder_depth": 0, "post_norm": False}
"""Keys that format 1 has not: what it says has these values."""
_SHARED: Final = ("head", "inputs", "transcription")


def config_to_flat(config: RecogniserConfig) -> dict[str, Any] | None:
    """Format 1; None if it can't say this."""
    head, inputs = config.head, config.inputs
    transformer = type(config) is TransformerConfig and config.transcription == AUTOREGRESSIVE
    if any(getattr(config, key, value) != value for key, value in _UNSAID.items()):
        return None
    if config.preprocessing.uneven or not transformer or type(head) not in (Softmax, Hamming):
        return None
    if type(inputs) not in (Learned, HammingInputs):
        return None
    flat = _FlatHead(
        classifier=_Classifier(head.kind),
        embedding=_Embedding(inputs.kind if inputs else ""),
        code_length=config.code_length,
        classifier_bottleneck=getattr(head, "bottleneck", None),
        embedding_bottleneck=getattr(inputs, "bottleneck", None),
        refined=getattr(head, "rerank", False),
    )
    raw = dataclasses.asdict(config) | dataclasses.asdict(flat)
    raw["preprocessing"] = {k: v for k, v in raw["preprocessing"].items() if v is not None}
    return {
        key: value
        for key, value in raw.items()
        if key not in (*_SHARED, *_UNSAID) and (key not in _LATER or value != _LATER[key])
    }


def config_from_flat(raw: object) -> TransformerConfig:
    """Read what `config_to_flat` wrote. Raises InputRefused on any other key, type or value."""
    values = table_of(raw, "configuration")
    for key in (*_SHARED, *_UNSAID):
        if key in values:
            raise InputRefused(f"configuration: unknown key {key!r}")
    names = {f.name for f in dataclasses.fields(_FlatHead)}
    flat = read(_FlatHead, {k: values.pop(k) for k in names & set(values)}, "configuration")
    head, inputs = flat.halves()
    rest: TransformerConfig = read(TransformerConfig, values, "configuration")
    return with_halves(rest, head, inputs)
