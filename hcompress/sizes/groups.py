"""Which part of a recogniser a tensor belongs to, by its name.

Our own names decide first; a short table of words covers checkpoints written elsewhere.
"""

from __future__ import annotations

import re

BACKBONE = "backbone"
ATTENTION = "decoder attention"
FFN = "decoder FFN"
EMBEDDING = "embedding"
CLASSIFIER = "classifier"
CODEBOOK = "codebook"
OTHER = "other"
CONTAINER = "container"
GROUPS: tuple[str, ...] = (
    BACKBONE, ATTENTION, FFN, EMBEDDING, CLASSIFIER, CODEBOOK, OTHER, CONTAINER,
)  # fmt: skip
"""Order of the rows, everywhere. ``container`` is what of a file is not weights."""
# What trainers and exporters put in front of a model's own names.
_WRAPPERS = frozenset(
    ("model", "module", "net", "network", "state_dict", "model_state_dict", "params",
     "_orig_mod", "step", "student", "graph", "recogniser", "recognizer")
)  # fmt: skip
# Foreign names: these words decide whatever else is said, "encoder.blocks.0.mlp.fc1" too…
_IN_BACKBONE = frozenset(("backbone", "encoder", "cnn", "resnet"))
# …then the first row with one of its words among the name's words.
_FOREIGN: tuple[tuple[str, frozenset[str]], ...] = (
    (CODEBOOK, frozenset(("codebook", "codes"))),
    (EMBEDDING, frozenset(("embed", "embedding", "embeddings", "emb", "tok", "lut"))),
    (CLASSIFIER, frozenset(
        ("classifier", "projection", "fc", "generator", "head", "logits", "lm", "output",
         "prediction", "softmax"))),
    (BACKBONE, frozenset(
        ("conv", "convs", "features", "stem", "downsample", "bn", "patch", "blocks", "stages",
         "visual", "feature"))),
    (FFN, frozenset(
        ("ffn", "feed", "feedforward", "mlp", "linear1", "linear2", "fc1", "fc2",
         "intermediate"))),
    (ATTENTION, frozenset(
        ("decoder", "attention", "attn", "attend", "rnn", "lstm", "gru", "transformer",
         "positional", "position", "pos", "multihead", "query", "key", "value"))),
)  # fmt: skip
_LAYERS = frozenset(
    (("decoder", "layers"), ("neck", "blocks"), ("neck", "narrow"), ("neck", "norm"),
     ("neck", "widen"))
)  # fmt: skip
"""Where our layers over the steps are: a decoder's, or a CTC recogniser's neck."""
# Ours, and what torch and others call the same thing in a "decoder.layers.N".
_FFN_MODULES = frozenset(
    ("feed_forward", "feed_forward_norm", "ffn", "mlp", "linear1", "linear2", "fc1", "fc2")
)


def group_of(tensor_name: str) -> str:
    """The size group of one tensor; ``other`` where the name says nothing."""
    parts = _unwrapped(re.split(r"[./:]", tensor_name.strip("/.")))
    own = _own_group(parts)
    return own if own is not None else _foreign_group(parts)


def _unwrapped(parts: list[str]) -> list[str]:
    start = 0
    while start < len(parts) - 1 and parts[start] in _WRAPPERS:
        start += 1
    rest = parts[start:]
    # In the serving ONNX pair the encoder's tensors are "encoder.backbone.…".
    if len(rest) > 1 and rest[0] == "encoder" and _own_group(rest[1:]) is not None:
        return rest[1:]
    return rest


def _own_group(parts: list[str]) -> str | None:
    first = parts[0]
    if len(parts) > 2 and (first, parts[1]) in _LAYERS:
        return FFN if _FFN_MODULES & set(parts[2:]) else ATTENTION
    if first in (BACKBONE, EMBEDDING, CLASSIFIER, CODEBOOK):
        return first
    # "codebook_packed", "embedding_scale": what a pass may append to a name.
    stem = first.split("_")[0]
    if stem in (CODEBOOK, EMBEDDING, CLASSIFIER, BACKBONE):
        return stem
    return None


def _foreign_group(parts: list[str]) -> str:
    words: set[str] = set()
    for part in parts:
        lowered = part.lower()
        words.add(lowered)
        words.update(lowered.split("_"))
        words.update(word.rstrip("0123456789") for word in lowered.split("_"))
    if "decoder" in words:
        return _in_decoder(words)
    if words & _IN_BACKBONE:
        return BACKBONE
    for group, vocabulary in _FOREIGN:
        if words & vocabulary:
            return group
    return OTHER


def _in_decoder(words: set[str]) -> str:
    """Inside a foreign decoder "fc", "head" and "output" are mostly parts of its attention."""
    rows = dict(_FOREIGN)
    for group in (CODEBOOK, EMBEDDING, FFN):
        if words & rows[group]:
            return group
    if words & {"classifier", "generator", "logits", "prediction"}:
        return CLASSIFIER
    return ATTENTION
