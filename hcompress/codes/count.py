"""Labelled images looked at by all processes together, and counted in whole numbers.

Whole numbers add up to the same in any order: one process and many make the same codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.compute.ranks import sum_over_processes
from hcompress.data.feed import drawn_images
from hcompress.data.known import check_labels
from hcompress.data.order import drawn
from hcompress.data.unreadable import lenient
from hcompress.recognisers.observe import Accumulator, observe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.codes.options import Looking
    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress
    from hcompress.recognisers.contract import Recogniser
    from hcompress.spec.vocabulary import Vocabulary


class Counts(Accumulator, Protocol):
    """What adds up over processes."""

    @property
    def whole_numbers(self) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
        """All that was counted, to be added up in place."""
        ...


class Known(Protocol):
    """A recogniser with its characters, as a checkpoint is."""

    @property
    def model(self) -> Recogniser: ...

    @property
    def vocabulary(self) -> Vocabulary: ...


def count_images(
    before: Known,
    source: DataSource,
    counts: Counts,
    looking: Looking,
    label: str,
    threads: int,
    progress: Progress,
) -> list[int]:
    """Count the features of every process's images; returns how many images each one took.

    Codes must be the same bytes everywhere, so always float32 on the CPU's fixed threads.
    """
    fabric = launch(Precision.FP32, threads, accelerator="cpu")
    chosen = drawn(source, looking.images)
    check_labels(source, before.vocabulary.characters, looking.unknown, chosen)
    lines = drawn_images(
        lenient(source, looking.unknown),
        looking.images,
        looking.batch,
        before.model.config.preprocessing,
        looking.workers,
        fabric.global_rank,
        fabric.world_size,
    )
    observe(before.model, before.vocabulary, lines, counts, looking.unknown, label, progress)
    for rank, images in enumerate(lines.shares):
        progress.say(f"{label}: process {rank} of {len(lines.shares)}: {images} images")
    sum_over_processes(*counts.whole_numbers)
    return list(lines.shares)
