"""Images of lines to calibrate, plan and distil on. Whether they have labels is no matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hcompress.data.order import shuffled
from hcompress.data.source import open_images
from hcompress.errors import EnvironmentFailed

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource, Sample
    from hcompress.spec.foreign import ForeignSpec


def line_source(
    data: Path | None,
    spec: ForeignSpec,
    count: int,
    seed: int,
    say: Callable[[str], None] | None = None,
) -> DataSource:
    """What a user gives, in an order by chance, or lines drawn of the model's own characters.

    ``say`` is told what is left out of a folder. Raises what `open_images` raises, and
    EnvironmentFailed if nothing is given and there are no fonts to draw with.
    """
    if data is not None:
        return shuffled(open_images(data, say))
    from hcompress.data.render.calibration import calibration_lines

    try:
        return calibration_lines(spec.characters, count, seed)
    except EnvironmentFailed as error:
        raise EnvironmentFailed(
            f"no lines to calibrate on: give --data, a folder of images of lines ({error})"
        ) from None


def taken(source: DataSource, first: int, count: int) -> list[Sample]:
    """Samples from ``first`` on, as many as there are."""
    return [source[place] for place in range(first, min(first + count, len(source)))]
