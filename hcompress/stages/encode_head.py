"""`encode-head`: a foreign recogniser's classes in fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

LineData = Param("images of lines, labelled or not; drawn ones if not given", data=True)
"""What foreign recognisers are calibrated, planned and distilled on."""


@dataclass(frozen=True)
class EncodeHead:
    """Fit an encoding to the classifier's own answers and store it."""

    encoding: Annotated[
        str, Param("int8, int4, products-N, ...: `plan` lists them; auto: the smallest that holds")
    ] = "auto"
    data: Annotated[Path | None, LineData] = None
    images: Annotated[int, Param("lines used", 3, MOST_IMAGES)] = 1500
    max_loss: Annotated[
        float, Param("points of lines right that auto may lose on a third of them", 0, 100)
    ] = 0.5
    steps: Annotated[
        int,
        Param(
            "training steps on the lines' features, of whole numbers, products and learnt codes", 0
        ),
    ] = 0

    name: ClassVar[str] = "encode-head"
    version: ClassVar[int] = 4
    summary: ClassVar[str] = "store the classes of a foreign recogniser in fewer bytes"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast | None:
        from hcompress.compress.encode_head import PLANNED
        from hcompress.heads.encodings.menu import stored_bytes

        if self.encoding == PLANNED or not known.features:
            return None
        stored = stored_bytes(self.encoding, known.classes, known.features)
        return replace(known, features=0, head=stored)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress import encode_head as heads
        from hcompress.foreign.edit import with_bias
        from hcompress.foreign.head import decoded
        from hcompress.foreign.lines import line_source, taken
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = open_stored(source)
        stored = decoded(model, stored)
        heads.check_floats(model, stored)  # before anything that takes time
        model, stored = with_bias(model, stored)
        lines = taken(
            line_source(self.data, model.spec, self.images, env.seed, env.progress.say),
            0,
            self.images,
        )
        ground = heads.ground(model, lines, env.threads, env.progress)
        size = stored.ByteSize()
        name, table = self.encoding, []
        if name == heads.PLANNED:
            rows, row = heads.planned(ground, size, self.max_loss, env.seed, env.progress)
            name, table = row.encoding, [one.to_dict() for one in rows]
            env.progress.say(f"encoding: {name}, {row.bytes:,} bytes, {row.loss:.2f} points lost")
        one = heads.named(name, ground, env.seed)
        if self.steps:
            from hcompress.training.learnt_head import trained_head

            head = trained_head(ground, one, self.steps, env.seed, env.progress)
        else:
            head = heads.fitted(ground, one)
        made = heads.with_head(model, stored, head)
        data = with_header(made, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        figures = heads.measured(ground, head, name, len(data) - head.bytes)
        dead = len(ground.teacher.dead)
        return {"lines": ground.lines, "dead_classes": dead, **figures, "rows": table}
