"""`onnx`: one file for any ONNX Runtime, and an encoder and decoder step for servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from hcompress.artifacts.kinds import Kind
from hcompress.errors import InputRefused
from hcompress.export.options import ServingPrecision
from hcompress.formats.open import Source
from hcompress.spec.forecast import Forecast
from hcompress.stages.base import Env
from hcompress.strict.schema import Param

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.spec.preprocessing import Preprocessing


MOST_COMPARED: Final = 65_536
"""They are held in memory at once: 1.4 GiB."""


@dataclass(frozen=True)
class OnnxStage:
    """Export, and hold the export against torch."""

    data: Annotated[
        Path | None, Param("lines to compare texts on; noise where there are none", data=True)
    ] = None
    images: Annotated[int, Param("lines compared", 1, MOST_COMPARED)] = 64
    serving: Annotated[ServingPrecision, Param("what the serving form computes in")] = (
        ServingPrecision.AUTO
    )

    name: ClassVar[str] = "onnx"
    version: ClassVar[int] = 4
    summary: ClassVar[str] = "export to ONNX: one portable file, and a serving form"
    consumes: ClassVar[Kind] = Kind.CHECKPOINT
    produces: ClassVar[Kind] = Kind.ONNX
    libraries: ClassVar[tuple[str, ...]] = (
        "torch", "onnx", "onnxsim", "onnxruntime", "numpy",
    )  # fmt: skip

    def foreseen(self, known: Forecast | None) -> Forecast | None:
        return known

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.checkpoints.checkpoint import load_checkpoint
        from hcompress.export.onnx import export
        from hcompress.strict.atomic import write_bytes

        assert source is not None
        checkpoint = load_checkpoint(source)
        images = self._images(checkpoint.config.preprocessing, env.seed)
        exported = export(
            checkpoint, env.provenance, images, self.serving, env.threads, env.progress.say
        )
        for name, data in exported.files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out / name, data)
        return exported.report

    def _images(self, size: Preprocessing, seed: int) -> NDArray[np.uint8]:
        """uint8 [N, H, W, 3]: lines of the data, by chance, or noise."""
        from hcompress.data.feed import drawn_images
        from hcompress.data.source import open_data
        from hcompress.export.onnx import noise_images

        if self.data is None:
            return noise_images(self.images, size, seed)
        for batch in drawn_images(open_data(self.data), self.images, self.images, size):
            return batch.images  # all of them
        raise InputRefused(f"{self.data}: it holds no images: nothing to compare on")
