"""`quantise`: the body of a foreign recogniser in few bits, rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.compress.body_options import BATCH, WIDTH, Bits, Group, MeanBits
from hcompress.errors import UsageError
from hcompress.foreign.forecast import ForeignForecast
from hcompress.formats.open import Source
from hcompress.spec.exported import ONNX_FILE
from hcompress.stages.base import Env
from hcompress.stages.encode_head import LineData
from hcompress.strict.schema import MOST_IMAGES, Param


@dataclass(frozen=True)
class Quantise:
    """Round the body's weights; what is rounded later makes good what was rounded before."""

    bits: Bits = 6
    group: Group = 64
    mean_bits: MeanBits = None
    data: Annotated[Path | None, LineData] = None
    images: Annotated[
        int,
        Param("lines whose products errors are made good for; 0: each by itself", 0, MOST_IMAGES),
    ] = 256

    name: ClassVar[str] = "quantise"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "store a foreign body's weights in few bits, by rounding"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxruntime", "numpy")

    def __post_init__(self) -> None:
        if self.mean_bits is not None and not self.images:
            raise UsageError(
                "mean_bits: which weights bear it best is measured on lines: images > 0"
            )

    def foreseen_foreign(self, known: ForeignForecast) -> ForeignForecast:
        from hcompress.compress.body_bytes import body_bytes

        stored = body_bytes(known.body, self.mean_bits or self.bits, self.group)
        floats = 4 * sum(map(prod, known.body))
        return replace(known, body=(), body_bytes=known.body_bytes - floats + stored)

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.compress.quantise_body import (
            Rounding,
            check_floats,
            quantised_body,
        )
        from hcompress.foreign.batches import calibration
        from hcompress.foreign.edit import with_stored
        from hcompress.foreign.lines import line_source
        from hcompress.foreign.open import open_stored
        from hcompress.foreign.write import with_header
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        model, stored = open_stored(source)
        check_floats(model, stored)
        lines = []
        if self.images:
            given = line_source(self.data, model.spec, self.images, env.seed)
            image = model.spec.image
            lines = list(calibration(given, self.images, image, WIDTH, BATCH, env.seed))
        how = Rounding(self.bits, self.group, self.mean_bits)
        held = quantised_body(model, how, lines, env.progress)
        made = with_stored(stored, held)
        data = with_header(made, model.spec, env.provenance, asdict(model.classifier))
        write_bytes(out / ONNX_FILE, data)
        return {"weights": len(held), "bytes": sum(one.packed.bytes for one in held.values())}
