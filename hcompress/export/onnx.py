"""A checkpoint's ONNX files, checked: every weight once, the same texts as torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compute.session import Session
from hcompress.errors import NumericalError
from hcompress.export.options import ServingPrecision
from hcompress.export.parity import (
    Decode,
    Decodings,
    Parity,
    bit_differences,
    compare,
    decode_all,
    decode_torch,
)
from hcompress.onnx_writer.emulate_fp16 import rounded_in_float
from hcompress.onnx_writer.simplify import Simplified, simplify
from hcompress.onnx_writer.stored_once import check_stored_once
from hcompress.recognisers.contract import Recogniser
from hcompress.runtime.serving import ServingPair
from hcompress.spec.config import Weights
from hcompress.spec.exported import ENCODER_FILE, HEIGHT, ONNX_FILE, STEP_FILE
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.preprocessing import Preprocessing

PROBED = 8
"""Images whose bit logits are compared one by one."""


@dataclass(frozen=True)
class Exported:
    """Files by name, relative to the artifact's folder, and the report's figures."""

    files: dict[str, bytes]
    report: dict[str, Any]


@dataclass(frozen=True)
class _Exporter:
    """One export: what every form of it shares."""

    checkpoint: Checkpoint
    metadata: str
    images: NDArray[np.uint8]
    expected: Decodings
    threads: int

    @property
    def store_half(self) -> bool:
        return self.checkpoint.config.weights is not Weights.FP32

    @property
    def has_pair(self) -> bool:
        """Whether the family has a serving form besides the one file."""
        return type(self.checkpoint.model).serving_graphs is not Recogniser.serving_graphs

    def portable(self) -> tuple[bytes, dict[str, Any]]:
        model, size = self.checkpoint.model, self.checkpoint.config.preprocessing
        weights = self.checkpoint.stored()
        graph = model.graph(self.metadata, store_half=self.store_half, weights=weights)
        written = self._simplified(graph, weights, whole=True)
        session = Session(written.data, self.threads, {HEIGHT: size.height})
        parity = self._parity(lambda images: _pair(session.run(_ENDS, {"images": images})))
        _require(parity, ONNX_FILE)
        report = _simplification(written) | {"parity": parity.to_dict() | self._bits()}
        return written.data, report

    def _bits(self) -> dict[str, Any]:
        """Bit logits of the first images, from the same graph with one output more."""
        model, size = self.checkpoint.model, self.checkpoint.config.preprocessing
        if not model.config.head.searched:
            return {}
        weights = self.checkpoint.stored()
        probe = model.graph(self.metadata, store_half=self.store_half, weights=weights, probe=True)
        session = Session(probe.SerializeToString(), self.threads, {HEIGHT: size.height})
        images = self.images[:PROBED]
        ids, bits = session.run(["ids", "bit_logits"], {"images": images})
        return bit_differences(model, images, ids[:, :, 0].astype(np.int64), bits.astype("f4"))

    def serving(self, half: bool) -> tuple[dict[str, bytes], dict[str, Any], Parity]:
        model, files, report = self.checkpoint.model, {}, {}
        weights = model.state_dict()
        graphs = model.serving_graphs(self.metadata, store_half=self.store_half, half=half)
        for name, graph in graphs.items():
            written = self._simplified(graph, weights, whole=False)
            files[name] = written.data
            report[name] = {"bytes": len(written.data)} | _simplification(written)
        shown = [_as_computed(files[name], half) for name in (ENCODER_FILE, STEP_FILE)]
        return files, report, self._parity(ServingPair(shown[0], shown[1], self.threads).decode)

    def _simplified(
        self, graph: onnx.ModelProto, weights: dict[str, Tensor], *, whole: bool
    ) -> Simplified:
        written = simplify(graph, frozenset(weights))
        final = onnx.load_from_string(written.data)
        check_stored_once(final, weights, store_half=self.store_half, whole=whole)
        return written

    def _parity(self, decode: Decode) -> Parity:
        config = self.checkpoint.config
        found = decode_all(decode, self.images, config.max_steps, config.transcription)
        return compare(self.checkpoint.model, self.images, self.expected, found)


_ENDS = ["ids", "probabilities"]


def export(
    checkpoint: Checkpoint,
    provenance: Provenance,
    images: NDArray[np.uint8],
    precision: ServingPrecision = ServingPrecision.AUTO,
    threads: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write every form and hold each against torch on ``images`` uint8 [N, H, W, 3].

    Raises NumericalError where a form reads a line that rounding does not decide otherwise than
    torch, or where a file would hold a weight twice.
    """
    say(f"torch reads {len(images)} images")
    expected = decode_torch(checkpoint.model, images)
    stamped = ModelMetadata(checkpoint.config, checkpoint.vocabulary, provenance)
    exporter = _Exporter(checkpoint, stamped.to_json(), images, expected, threads)
    say(f"{ONNX_FILE}: writing, and comparing texts")
    data, report = exporter.portable()
    serving, figures = _serving(exporter, precision, say)
    return Exported(
        {ONNX_FILE: data, **serving}, {"bytes": len(data), **report, "serving": figures}
    )


def _serving(
    exporter: _Exporter, precision: ServingPrecision, say: Callable[[str], None]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The serving pair in the best precision that reads the same."""
    figures: dict[str, Any] = {}
    if not exporter.has_pair:
        return {}, figures
    half = precision is ServingPrecision.FP16 or (
        precision is ServingPrecision.AUTO and exporter.store_half
    )
    if half:
        say("serving form: FP16")
        files, report, parity = exporter.serving(half=True)
        asked = precision is ServingPrecision.FP16
        if asked:
            _require(parity, ENCODER_FILE)
        if asked or not (parity.different or parity.undecided):
            return files, {"precision": "fp16", "parity": parity.to_dict(), "files": report}
        figures["fp16_refused"] = parity.to_dict()
        say("serving form: FP16 reads other texts: FP32")
    files, report, parity = exporter.serving(half=False)
    _require(parity, ENCODER_FILE)
    return files, figures | {"precision": "fp32", "parity": parity.to_dict(), "files": report}


def _require(parity: Parity, name: str) -> None:
    if parity.different:
        raise NumericalError(
            f"{name}: parity: {len(parity.different)} of {parity.images} images read otherwise"
            f" than by torch, the first one is number {parity.different[0]}: nothing was written"
        )
    if not parity.agrees:
        raise NumericalError(
            f"{name}: parity: {len(parity.undecided)} of {parity.images} texts hang on rounding:"
            " the model's scores do not tell its characters apart; train it further"
        )


def _as_computed(data: bytes, half: bool) -> bytes:
    """A graph that shows on this CPU what ``data`` answers where it is served."""
    if not half:
        return data
    shown: bytes = rounded_in_float(onnx.load_from_string(data)).SerializeToString()
    return shown


def _pair(arrays: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return arrays[0], arrays[1]


def _simplification(written: Simplified) -> dict[str, Any]:
    taken = "onnxsim" if written.kept else "as written"
    return {
        "onnxsim": {
            "before": written.written, "after": written.simplified,
            "taken": taken, "why": written.why,
        }
    }  # fmt: skip


def noise_images(count: int, size: Preprocessing, seed: int) -> NDArray[np.uint8]:
    """Images to compare on where there are none: half noise, half blocks of random colours."""
    random = np.random.default_rng(seed)
    shape = (count, size.height, size.width, size.channels)
    images = random.integers(0, 256, shape, np.uint8)
    coarse = random.integers(
        0, 256, (count, -(-size.height // 8), -(-size.width // 8), 3), np.uint8
    )
    blocks = coarse.repeat(8, 1).repeat(8, 2)[:, : size.height, : size.width]
    images[::2] = blocks[::2]
    return images
