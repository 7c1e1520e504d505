"""`engine`: what a GPU server loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hcompress.artifacts.kinds import Kind
from hcompress.export.options import Library
from hcompress.formats.open import Source
from hcompress.stages.base import Env
from hcompress.strict.schema import MOST_BATCH, Param


@dataclass(frozen=True)
class EngineStage:
    """Build a TensorRT plan, with a sidecar that is checked before it is loaded."""

    library: Annotated[Library, Param("what builds it")] = Library.AUTO
    compute_capabilities: Annotated[
        tuple[str, ...], Param("GPUs that tensorrt-rtx builds for, ahead of time")
    ] = ("8.6", "8.9")
    batch_least: Annotated[int, Param("images a call, at least", 1, MOST_BATCH)] = 1
    batch_usual: Annotated[int, Param("images a call, which it is tuned for", 1, MOST_BATCH)] = 8
    batch_most: Annotated[int, Param("images a call, at most", 1, MOST_BATCH)] = 64

    name: ClassVar[str] = "engine"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "build a TensorRT engine from the ONNX"
    consumes: ClassVar[Kind] = Kind.ONNX
    produces: ClassVar[Kind] = Kind.ENGINE
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "tensorrt", "tensorrt-rtx")

    def machine(self) -> Mapping[str, str]:
        """The GPUs at hand: TensorRT builds for them, and the sidecar says what they show."""
        from hcompress.compute import cuda

        return {"gpus": ",".join(cuda.compute_capabilities())}

    def run(self, source: Source | None, out: Path, env: Env) -> Mapping[str, Any]:
        from hcompress.export.tensorrt.builder import Profile
        from hcompress.export.tensorrt.engine import build_engine

        assert source is not None
        profile = Profile(self.batch_least, self.batch_usual, self.batch_most)
        env.progress.say("building the engine")
        files, report = build_engine(
            source, self.library, self.compute_capabilities, profile, env.threads
        )
        for name, data in files.items():
            (out / name).write_bytes(data)
        return report
