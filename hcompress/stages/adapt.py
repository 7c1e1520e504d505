"""`adapt`: a foreign recogniser's classifier taught its user's own lines, in seconds."""

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


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Train the columns of the labels' characters on labelled lines; all else stays in place."""

    data: Annotated[Path, Param("labelled lines: label file, LMDB or spec", data=True)]
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
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "teach a foreign recogniser's classifier your own labelled lines"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        return known

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        import numpy as np
        import torch

        from hcompress.compress.encode_head import check_floats
        from hcompress.foreign.edit import with_bias, with_classifier
        from hcompress.foreign.features import Features
        from hcompress.foreign.lines import line_source, taken
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes
        from hcompress.training.adapt import Pace, adapted

        assert source is not None
        model, stored = open_stored(source)
        check_floats(model, stored)
        model, stored = with_bias(model, stored)
        lessons = self._lessons(model, env)
        torch.set_num_threads(env.threads)
        weight, bias = model.class_weights()
        other = np.zeros((0, weight.shape[1]), np.float32)
        if self.other_images:
            lines = line_source(
                self.others, model.spec, self.other_images, env.seed, env.progress.say
            )
            images = [one.image for one in taken(lines, 0, self.other_images)]
            features = Features(model, env.threads).of(images, "other text", env.progress)
            other = np.concatenate(features)
        pace = Pace(self.passes, self.batch, self.learning_rate, self.hold, env.seed)
        made = adapted(weight, bias, model.spec.blank, lessons, other, pace, env.progress)
        proto = with_classifier(model, stored, made.weight, made.bias)
        data = with_header(proto, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        return made.figures

    def _lessons(self, model: ForeignModel, env: Env) -> list[Any]:
        from hcompress.data.known import check_labels
        from hcompress.data.order import drawn
        from hcompress.data.source import open_data
        from hcompress.foreign.features import Features
        from hcompress.training.adapt import Lesson

        source = open_data(self.data)
        ids = {one: place for place, one in reversed(list(enumerate(model.spec.classes))) if one}
        places = drawn(source, self.images)
        check_labels(source, ids.keys(), self.unknown, places)
        samples = [source[place] for place in places]
        samples = [one for one in samples if all(c in ids for c in one.text)]
        features = Features(model, env.threads).of(
            [one.image for one in samples], "features", env.progress
        )
        return [
            Lesson(frames, tuple(ids[c] for c in one.text))
            for frames, one in zip(features, samples, strict=True)
        ]
