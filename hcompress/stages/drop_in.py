"""`drop-in`: a foreign recogniser as a file that takes the old one's place, held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.export.options import Outputs
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.stages.encode_head import LineData
from hcompress.strict.schema import MOST_IMAGES, Param


@dataclass(frozen=True)
class DropIn:
    """Check inputs, outputs, shapes, metadata and texts against the original's, and write it."""

    data: Annotated[Path | None, LineData] = None
    images: Annotated[int, Param("lines compared", 1, MOST_IMAGES)] = 128

    outputs: Annotated[
        Outputs, Param("scores as the original's, or each frame's best class and its probability")
    ] = Outputs.SAME

    name: ClassVar[str] = "drop-in"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "hold a foreign recogniser against its original, and write it"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        return known

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.export.drop_in import drop_in
        from hcompress.export.ids import with_ids
        from hcompress.foreign.lines import line_source, taken
        from hcompress.foreign.open import open_stored, teacher_for
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = open_stored(source)
        lines = taken(
            line_source(self.data, model.spec, self.images, env.seed + 1, env.progress.say),
            0,
            self.images,
        )
        original = None if env.teacher is None else teacher_for(model, env.teacher)
        if self.outputs is Outputs.IDS:
            model, stored = with_ids(model, stored)
        made, report = drop_in(
            model,
            stored,
            original,
            [one.image for one in lines],
            env.threads,
        )
        data = with_header(made, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        return report
