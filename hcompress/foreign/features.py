"""Decision features of a foreign recogniser: its graph, cut before the classifier.

N images, T frames, d features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, helper

from hcompress.compute.session import Session
from hcompress.foreign.inputs import batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress

    Floats = NDArray[np.float32]
    Images = Sequence[NDArray[np.uint8]]

AT_ONCE: Final = 16
NARROW: Final = 64
"""Pixels of an image by which the features' layout is told, if the graph takes so few."""


def cut_at(proto: ModelProto, value: str) -> ModelProto:
    """The graph with that value as its only output."""
    made = ModelProto()
    made.CopyFrom(proto)
    del made.graph.output[:]
    made.graph.output.append(helper.make_empty_tensor_value_info(value))
    return made


class Features:
    """A recogniser up to its classifier, in one session of onnxruntime."""

    def __init__(self, model: ForeignModel, threads: int = 1) -> None:
        part = model.classifier
        graph = cut_at(model.proto, part.features)
        self.spec = model.spec
        self.rows_last = rows_last(model)
        """The features' last axis is d; else they are [N, d, ...]."""
        self._value = part.features
        self._session = Session(graph.SerializeToString(), threads, where="the body")
        self._input = next(iter(self._session.inputs))
        self.time_first = self.rows_last and not self.spec.image.single and self._time_first()
        """The features' frames come before their lines, whatever the output's layout: a
        Transpose may stand behind the classifier."""

    def _time_first(self) -> bool:
        """Measured: whether two images' rows alternate, or one image's come before the other's."""
        image = self.spec.image
        width = image.maximum_width or max(image.minimum_width, NARROW)
        size = (2, len(image.mean), image.height, width)
        pair = np.random.default_rng(0).normal(size=size).astype(np.float32)
        first, second, both = (self._rows(part) for part in (pair[:1], pair[1:], pair))
        in_turn = np.stack([first, second], 1).reshape(both.shape)
        one_by_one = np.concatenate([first, second])
        return bool(np.abs(both - in_turn).sum() < np.abs(both - one_by_one).sum())

    def _rows(self, inputs: Floats) -> Floats:
        """float [N, C, H, W] -> [N T, d], in the graph's own order."""
        made = np.asarray(self._session.run([self._value], {self._input: inputs})[0], np.float32)
        return made.reshape(-1, made.shape[-1])

    def run(self, inputs: Floats) -> Floats:
        """float [N, C, H, W] -> [N, T, d]."""
        made = np.asarray(self._session.run([self._value], {self._input: inputs})[0], np.float32)
        return np.asarray(frames_first(made, len(inputs), self.rows_last, self.time_first))

    def of(self, images: Images, label: str, progress: Progress) -> list[Floats]:
        """[T, d] of each image, RGB of any size."""
        progress.start(label, len(images))
        found: dict[int, Floats] = {}
        for places, made in self._runs(images):
            progress.advance(len(places))
            found.update(zip(places, made, strict=True))
        progress.finish()
        return [found[place] for place in range(len(images))]

    def _runs(self, images: Images) -> Iterator[tuple[list[int], Floats]]:
        for places, inputs in batches(images, self.spec.image, AT_ONCE):
            yield places, self.run(inputs)


def rows_last(model: ForeignModel) -> bool:
    """Whether the classifier is a product over the last axis, and no convolution over channels."""
    part = model.classifier
    taker = next(node for node in model.proto.graph.node if part.features in node.input)
    return str(taker.op_type) != "Conv"


def frames_first(made: Any, lines: int, rows_last: bool, time_first: bool) -> Any:
    """What a classifier is given, as [N, T, d], however its graph lays it out.

    An array or a torch tensor: both have the same methods.
    """
    if not rows_last:  # [N, d, 1, T] or [N, d, T]
        return made.reshape(made.shape[0], made.shape[1], -1).swapaxes(1, 2)
    if time_first:
        return made.reshape(-1, lines, made.shape[-1]).swapaxes(0, 1)
    return made.reshape(lines, -1, made.shape[-1])
