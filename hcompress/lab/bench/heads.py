"""The head alone: features in, the best five ids and their probabilities out, in three forms.

n queries, d = width, V vocabulary, K = code length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hcompress.lab.bench.timing import Effort, figures, interleave
from hcompress.spec.heads import Hamming, HeadSpec, Softmax
from hcompress.spec.transcription import AUTOREGRESSIVE

Features = NDArray[np.float32]
Answers = tuple[NDArray[Any], NDArray[Any]]
"""Ids and probabilities [n, k]."""
Answer = Callable[[Features], Answers]
NAMES: Final = ("softmax", "native", "portable")
PAIRS: Final = (("softmax", "native"), ("softmax", "portable"))
HEIGHT: Final = 48
"""What the portable head is told of its images when it is loaded: see `portable_codes`."""
TEMPERATURE: Final = 1 / 32
"""Of a Hamming head, in code lengths: an untuned one's."""


@dataclass(frozen=True)
class Shape:
    """A head's sizes; ``vocabulary`` counts PAD, BOS and EOS."""

    vocabulary: int
    width: int
    code_length: int = 512

    @property
    def temperature(self) -> float:
        """Of an untuned Hamming head."""
        return self.code_length * TEMPERATURE


def softmax_head(shape: Shape, seed: int = 0) -> Answer:
    """The exporter's softmax head in ONNX Runtime: product, softmax, the best five."""
    import torch

    weights = {"classifier.weight": _normal((shape.vocabulary, shape.width), seed)}
    tensors = {n: torch.from_numpy(w) for n, w in weights.items()}
    session = _session(tensors, Softmax(), 1.0, shape)

    def answer(features: Features) -> Answers:
        ids, chances = session.run(["ids", "probabilities"], {"h": features})
        return ids, chances

    return answer


def portable_head(shape: Shape, seed: int = 0) -> Answer:
    """The exporter's Hamming head in plain ONNX Runtime: products of small integers."""
    import torch

    projection, codebook = hamming_weights(shape, seed)
    weights = {
        "classifier.projection.weight": torch.from_numpy(projection),
        "codebook": torch.from_numpy(codebook),
    }
    session = _session(weights, Hamming(shape.code_length), shape.temperature, shape)
    image = np.zeros((1, HEIGHT, 1, 1), np.uint8)

    def answer(features: Features) -> Answers:
        feeds = {"h": features, "images": image}
        ids, chances = session.run(["ids", "probabilities"], feeds)
        return ids, chances

    return answer


def native_head(shape: Shape, seed: int = 0) -> Answer:
    """A product by numpy, then the signs and the native search.

    In a reader the product is part of the decoder step's graph and costs no call of its own.
    """
    from hcompress.heads.ranked import kept_candidates
    from hcompress.search import CodeIndex, pack_signs

    projection, codebook = hamming_weights(shape, seed)
    turned = np.ascontiguousarray(projection.T)
    index = CodeIndex(codebook, readable_from=AUTOREGRESSIVE.first_answer)
    temperature = shape.temperature
    kept = kept_candidates(shape.vocabulary, AUTOREGRESSIVE.first_answer)

    def answer(features: Features) -> Answers:
        found = index.rank(pack_signs(features @ turned), kept, temperature)
        return found.ids, found.probabilities

    return answer


FORMS: Final[Mapping[str, Callable[[Shape], Answer]]] = {
    "softmax": softmax_head,
    "native": native_head,
    "portable": portable_head,
}


def head_rows(shape: Shape, counts: tuple[int, ...], effort: Effort) -> list[dict[str, Any]]:
    """An entry for each n: microseconds a query of the three forms."""
    contenders = {name: FORMS[name](shape) for name in NAMES}
    return [
        {
            "n": count,
            "d": shape.width,
            **figures(
                interleave(contenders, fresh_features(count, shape.width), effort),
                NAMES, "us", 1e6 / count, PAIRS,
            ),
        }
        for count in counts
    ]  # fmt: skip


def fresh_features(count: int, width: int, seed: int = 1) -> Callable[[], Features]:
    """New features [n, d] at every call."""
    random = np.random.default_rng(seed)
    return lambda: random.standard_normal((count, width), np.float32)


def hamming_weights(shape: Shape, seed: int) -> tuple[Features, NDArray[np.uint8]]:
    """A projection [K, d] and a codebook [V, K/8], by chance."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (shape.vocabulary, shape.code_length // 8), np.uint8)
    return _normal((shape.code_length, shape.width), seed + 1), codes


def _normal(shape: tuple[int, int], seed: int) -> Features:
    random = np.random.default_rng(seed)
    return random.standard_normal(shape, np.float32) / np.float32(shape[1] ** 0.5)


def _session(weights: Mapping[str, Any], spec: HeadSpec, temperature: float, shape: Shape) -> Any:
    """The head's nodes, as the exporter writes them, in the runtime's own kind of session."""
    import torch
    from onnx import TensorProto

    from hcompress.compute.session import Session
    from hcompress.heads.build import build_head
    from hcompress.heads.contract import Form, Setting
    from hcompress.heads.ranked import kept_candidates
    from hcompress.onnx_writer.graph import Graph, value

    g, first = Graph(weights, store_half=False), AUTOREGRESSIVE.first_answer
    with torch.device("meta"):  # its nodes are wanted, and the weights are given
        head = build_head(spec, Setting(shape.vocabulary, shape.width, first, temperature))
    ranked = head.graph(g, "h", head.prepare(g, Form(serving=False, height=HEIGHT)))
    g.rename(ranked.ids, "ids")
    g.rename(ranked.chances, "probabilities")
    kept = kept_candidates(shape.vocabulary, first)
    inputs = [value("h", TensorProto.FLOAT, ("N", shape.width))]
    if spec.searched:
        inputs.append(value("images", TensorProto.UINT8, (1, "H", 1, 1)))
    outputs = [
        value("ids", TensorProto.INT64, ("N", kept)),
        value("probabilities", TensorProto.FLOAT, ("N", kept)),
    ]
    data = g.model(inputs, outputs, "{}").SerializeToString()
    return Session(data, 1, {"H": HEIGHT})
