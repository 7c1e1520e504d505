"""Whether a recogniser reads what it says it reads: lines drawn of its own characters.

A list of the wrong order, another height, another blank: each leaves next to nothing. Colours the
wrong way round do not: recognisers read them as well.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hcompress.errors import EnvironmentFailed, InputRefused
from hcompress.foreign.frames import Frames
from hcompress.metrics import mean, similarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.spec.foreign import ForeignSpec

LINES: Final = 64
LEAST: Final = 0.5
"""Mean similarity to what was drawn: with a wrong list it is near 0, with the right one near 1."""
_FEWEST: Final = 10
"""Characters that everybody trains on, below which all are drawn."""
_SEED: Final = 18


@dataclass(frozen=True)
class Checked:
    """What became of the lines; no lines if none could be drawn."""

    lines: int
    right: int
    similarity: float
    remark: str


def check_reading(frames: Frames, believed: bool = False) -> Checked:
    """Read `LINES` drawn lines of the model's own common characters.

    Raises InputRefused if it hardly reads them, unless what is known of it is ``believed``: a few
    recognisers read nothing but what they were made for. Without fonts nothing is checked. The
    remark says both.
    """
    try:
        samples = _samples(frames.spec)
    except (EnvironmentFailed, InputRefused) as error:
        return Checked(0, 0, 0.0, f"not checked on drawn lines: {error}")
    lines = frames.lines([image for image, _ in samples])
    read = [_folded(frames.spec.text(line.ids.tolist())) for line in lines]
    truth = [_folded(text) for _, text in samples]
    right = sum(one == other for one, other in zip(read, truth, strict=True))
    alike = mean(similarity(one, other) for one, other in zip(truth, read, strict=True))
    if alike < LEAST and believed:
        remark = (
            f"reads {right} of {len(truth)} drawn lines of letters and digits: try lines of its"
        )
        return Checked(len(truth), right, alike, f"{remark} own kind with `hcompress read`")
    if alike < LEAST:
        raise InputRefused(
            f"reads {right} of {len(truth)} lines of its own charset ({frames.spec.source}), and"
            f" {alike:.0%} of their characters: is --charset right? And --preprocessing?"
        )
    remark = f"checked: reads {right} of {len(truth)} drawn lines of its own charset"
    return Checked(len(truth), right, alike, remark)


def _samples(spec: ForeignSpec) -> list[tuple[NDArray[np.uint8], str]]:
    from hcompress.data.render.charset_lines import charset_lines
    from hcompress.data.render.spec import Degradation, Split

    source = charset_lines(common(spec.characters), LINES, _SEED, Split.TRAIN, Degradation())
    return [(sample.image, sample.text) for sample in (source[i] for i in range(len(source)))]


def common(characters: Sequence[str]) -> list[str]:
    """Those that everybody trains on: ASCII letters and digits, and GB2312's first level; all if
    these are few."""
    chosen = [one for one in characters if len(one) == 1 and _is_common(one)]
    return chosen if len(chosen) >= _FEWEST else list(characters)


def _is_common(character: str) -> bool:
    if character.isascii():
        return character.isalnum()
    try:
        first, *rest = character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return bool(rest) and 0xB0 <= first <= 0xD7


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())
