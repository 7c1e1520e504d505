"""`distil-body`: the body of a foreign recogniser in few bits, trained to answer as it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.training.body_options import DistilOptions


@dataclass(frozen=True, kw_only=True)
class DistilBody(DistilOptions):
    """Train rounded weights on the original's own features and answers: no labels are needed."""

    name: ClassVar[str] = "distil-body"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "store a foreign body's weights in few bits, by short distillation"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = (
        "torch", "lightning-fabric", "onnx", "onnxruntime", "numpy",
    )  # fmt: skip

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        from hcompress.compress.body_bytes import body_bytes

        stored = body_bytes(known.body, self.mean_bits or self.bits, self.group)
        floats = 4 * sum(map(prod, known.body))
        return replace(known, body=(), body_bytes=known.body_bytes - floats + stored)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress.quantise_body import check_floats
        from hcompress.foreign.edit import with_stored
        from hcompress.foreign.lines import line_source
        from hcompress.foreign.open import open_stored, teacher_for
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes
        from hcompress.training.distil_body import distil_body
        from hcompress.training.options import Workplace

        assert source is not None
        model, stored = open_stored(source)
        check_floats(model, stored)  # before anything that takes time
        lines = line_source(self.data, model.spec, self.images + self.validation_images, env.seed)
        teacher = teacher_for(model, env.teacher)
        place = Workplace(env.seed, env.threads, env.progress, env.scratch)
        held, figures = distil_body(self, model, teacher, lines, place)
        made = with_stored(stored, held)
        data = with_header(made, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        return figures
