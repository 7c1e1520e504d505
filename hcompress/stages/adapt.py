"""`adapt`: a foreign recogniser taught its user's own lines, its classifier or more of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.charset import UnknownCharacter
from hcompress.data.options import Unknown
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_BATCH, MOST_IMAGES, Param

if TYPE_CHECKING:
    from hcompress.foreign.model import ForeignModel
    from hcompress.training.adapt import Pace


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Train the columns of the labels' characters, and the last blocks of the body if asked, on
    labelled lines; all else stays in place."""

    data: Annotated[Path, Param("labelled lines: label file, LMDB or spec", data=True)]
    blocks: Annotated[
        int, Param("last blocks of the body that learn too; 0: the classifier alone", 0, 1000)
    ] = 0
    images: Annotated[int, Param("lines taken, by chance", 1, MOST_IMAGES)] = 5000
    passes: Annotated[int, Param("over all lines", 1, 10_000)] = 20
    batch: Annotated[int, Param("lines a step", 1, MOST_BATCH)] = 32
    learning_rate: Annotated[float, Param("peak rate", 0)] = 0.003
    hold: Annotated[
        float, Param("weight of what the answers to other text move: more holds them nearer", 0)
    ] = 100.0
    others: Annotated[
        Path | None,
        Param("images of other text; drawn lines if not given", data=True),
    ] = None
    other_images: Annotated[int, Param("lines of it; 0: nothing is held", 0, MOST_IMAGES)] = 400
    unknown: Unknown = UnknownCharacter.REFUSE

    name: ClassVar[str] = "adapt"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "teach a foreign recogniser your own labelled lines"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        return known

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import torch

        from hcompress.compress.encode_head import check_floats
        from hcompress.foreign.edit import with_bias
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes
        from hcompress.training.adapt import Pace

        assert source is not None
        model, stored = open_stored(source)
        check_floats(model, stored)
        model, stored = with_bias(model, stored)
        torch.set_num_threads(env.threads)
        pace = Pace(self.passes, self.batch, self.learning_rate, self.hold, env.seed)
        learn = self._body if self.blocks else self._head
        proto, figures = learn(model, stored, pace, env)
        data = with_header(proto, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        return figures

    def _head(
        self, model: ForeignModel, stored: Any, pace: Pace, env: Env
    ) -> tuple[Any, dict[str, Any]]:
        import numpy as np

        from hcompress.foreign.edit import with_classifier
        from hcompress.foreign.features import Features
        from hcompress.training.adapt import Lesson, adapted

        weight, bias = model.class_weights()
        features = Features(model, env.threads)
        images, labels = self._labelled(model)
        found = features.of(images, "features", env.progress)
        lessons = [Lesson(*pair) for pair in zip(found, labels, strict=True)]
        other = np.zeros((0, weight.shape[1]), np.float32)
        if self.other_images:
            text = features.of(self._others(model, env), "other text", env.progress)
            other = np.concatenate(text)
        made = adapted(weight, bias, model.spec.blank, lessons, other, pace, env.progress)
        return with_classifier(model, stored, made.weight, made.bias), made.figures

    def _body(
        self, model: ForeignModel, stored: Any, pace: Pace, env: Env
    ) -> tuple[Any, dict[str, Any]]:
        from hcompress.foreign.blocks import Front, check_stored, cut_before
        from hcompress.foreign.edit import with_classifier, with_floats
        from hcompress.training.adapt_blocks import adapted_blocks
        from hcompress.training.body_part import part_of

        halves = cut_before(model, self.blocks)
        check_stored(halves, stored)
        part = part_of(halves, model, env.threads)
        front = Front(halves, model, env.threads)
        images, labels = self._labelled(model)
        values = front.of(images, "in front of the blocks", env.progress)
        other = []
        if self.other_images:
            other = front.of(self._others(model, env), "other text", env.progress)
        lines = list(zip(values, labels, strict=True))
        weights, made = adapted_blocks(
            part, *model.class_weights(), model.spec.blank, lines, other, pace, env.progress
        )
        put = with_classifier(model, stored, made.weight, made.bias)
        return with_floats(put, weights), made.figures

    def _others(self, model: ForeignModel, env: Env) -> list[Any]:
        from hcompress.foreign.lines import line_source, taken

        lines = line_source(self.others, model.spec, self.other_images, env.seed, env.progress.say)
        return [one.image for one in taken(lines, 0, self.other_images)]

    def _labelled(self, model: ForeignModel) -> tuple[list[Any], list[tuple[int, ...]]]:
        """Images, and the classes of their labels."""
        from hcompress.data.known import check_labels
        from hcompress.data.order import drawn
        from hcompress.data.source import open_data

        source = open_data(self.data)
        ids = {one: place for place, one in reversed(list(enumerate(model.spec.classes))) if one}
        places = drawn(source, self.images)
        check_labels(source, ids.keys(), self.unknown, places)
        samples = [source[place] for place in places]
        samples = [one for one in samples if all(c in ids for c in one.text)]
        return [one.image for one in samples], [tuple(ids[c] for c in one.text) for one in samples]
