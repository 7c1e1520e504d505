"""The serving form run on the CPU: how a server drives an encoder and a decoder step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hcompress.compute.session import Session
from hcompress.spec.transcription import AUTOREGRESSIVE, Transcription

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


class ServingPair:
    """`serving/encoder.onnx` and `serving/decoder-step.onnx`, as paths or as bytes."""

    def __init__(
        self,
        encoder: Path | bytes,
        step: Path | bytes,
        threads: int = 1,
        special: Transcription = AUTOREGRESSIVE,
    ) -> None:
        self._special = special
        self._encoder = Session(encoder, threads)
        self._step = Session(step, threads)

    def decode(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids and probabilities [N, T, k], as `OnnxReader.decode`."""
        import numpy as np

        keys, values = (self._empty(name, len(images)) for name in ("keys", "values"))
        cross = self._encoder.run(["cross_keys", "cross_values"], {"images": images})
        last = np.full(len(images), self._special.bos, np.int64)
        ids, chances = [], []
        outputs = ["candidates", "probabilities", "new_keys", "new_values"]
        for position in range(self.max_steps):
            best, chance, keys, values = self._step.run(
                outputs,
                {
                    "ids": last, "position": np.array(position, np.int64),
                    "keys": keys, "values": values,
                    "cross_keys": cross[0], "cross_values": cross[1],
                },
            )  # fmt: skip
            ids.append(best)
            chances.append(chance)
            last = np.ascontiguousarray(best[:, 0])
            if bool(np.isin(last, np.array([self._special.eos, self._special.pad])).all()):
                break
        return np.stack(ids, 1), np.stack(chances, 1)

    @property
    def max_steps(self) -> int:
        """Steps at most: what the caches have room for."""
        return int(self._step.inputs["keys"][1][-1] or 0)

    def _empty(self, name: str, count: int) -> NDArray[np.generic]:
        import numpy as np

        kind, shape = self._step.inputs[name]
        return np.zeros([count, *(int(side or 0) for side in shape[1:])], _TYPES[kind])
