"""`int8-body`: the convolutions of a foreign recogniser in whole numbers, which are faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.body_options import WIDTH
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_IMAGES, Param

BATCH = 2
"""Lines at once: every value of the body is kept of them."""


@dataclass(frozen=True, kw_only=True)
class Int8Body:
    """Round what runs through the body to bytes: convolutions then multiply whole numbers."""

    data: Annotated[
        Path | None,
        Param("images of lines, labelled or not; drawn ones if not given", data=True),
    ] = None
    images: Annotated[int, Param("lines that ranges are measured on", 1, MOST_IMAGES)] = 128
    harm: Annotated[
        float,
        Param("share of the features' error beyond which a convolution stays in floats", 0, 1),
    ] = 0.1

    name: ClassVar[str] = "int8-body"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "compute a foreign body's convolutions in bytes: faster"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast | None:  # noqa: ARG002
        return None  # which convolutions change is measured

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress.int8_body import int8_body
        from hcompress.foreign.batches import calibration
        from hcompress.foreign.edit import decoded, with_decoders
        from hcompress.foreign.lines import line_source
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = open_stored(source)
        given = line_source(self.data, model.spec, self.images, env.seed, env.progress.say)
        lines = list(calibration(given, self.images, model.spec.image, WIDTH, BATCH, env.seed))
        packed = decoded(stored, model.proto)
        made = int8_body(model, packed, lines, self.harm, env.progress)
        proto = with_decoders(made.proto, stored, packed)
        data = with_header(proto, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        return {
            "convolutions": made.convolutions,
            "in_floats": list(made.floats),
            "features_error": made.error,
        }
