"""RapidOCR's recogniser as a reader: the peer that ours is held beside. Its detector is left out.

It comes with its model (PP-OCRv6 small in 3.10: CTC, 18,709 characters) in the extra `bench`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.compute.libraries import version
from hcompress.errors import EnvironmentFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray


NAME: Final = "rapidocr"
INSTALL: Final = "pip install 'hcompress[bench]'"
ALONE: Final = {"use_det": False, "use_cls": False, "use_rec": True}
"""The recogniser, and neither the detector nor the turning of upside-down lines."""


@dataclass(frozen=True)
class PeerReading:
    """As `evaluation.Reading`. No candidates: RapidOCR does not say them."""

    text: str
    confidence: float
    """The mean over the characters, as RapidOCR has it: not ours, which is a product."""
    candidates: Sequence[Any] = ()


class RapidOcrReader:
    """The recogniser alone, on one thread. Raises EnvironmentFailed where it can't be imported."""

    def __init__(self) -> None:
        try:
            self._engine = engine()
        except ImportError as error:
            raise EnvironmentFailed(f"RapidOCR cannot be imported ({error}): {INSTALL}") from None
        self._read(np.zeros((48, 160, 3), np.uint8))  # it loads its model with the first image
        recogniser = self._engine.text_rec
        self.file = Path(recogniser.session.session._model_path)
        """The model, its characters included."""
        self.characters: tuple[str, ...] = tuple(recogniser.postprocess_op.character[1:])
        """What it can answer: the first entry is CTC's blank."""

    @property
    def title(self) -> str:
        """What was compared with, to be found again."""
        return f"{NAME} {version(NAME)}, {self.file.name}"

    def read(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[PeerReading]:
        """A reading for each RGB image, h x w x 3 of any size, one a call as RapidOCR has it."""
        return [self._read(image) for image in images]

    def _read(self, image: NDArray[np.uint8]) -> PeerReading:
        # An array is taken for BGR, as OpenCV has images.
        found = self._engine(np.ascontiguousarray(image[:, :, ::-1]), **ALONE)
        if not found.txts:
            return PeerReading("", 0.0)
        return PeerReading(found.txts[0], float(found.scores[0]))


def is_meant(model: Path) -> bool:
    """Whether an argument is this peer's name. A file or folder of that name comes first."""
    return str(model) == NAME and not model.exists()


def has_rapidocr() -> bool:
    """Whether it, and all that it needs, can be imported."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return False
    return callable(RapidOCR)


def engine() -> Any:
    """RapidOCR as it comes, on one thread. Raises ImportError without it."""
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(params={**one, "Global.log_level": "critical"})
