"""Stores a foreign recogniser's classifier in an encoding: planned, or the one that is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hcompress.compress import plan_head
from hcompress.compress.plan_head import Judged, Row
from hcompress.errors import InputRefused
from hcompress.foreign.edit import Stored, with_stored
from hcompress.foreign.features import Features
from hcompress.foreign.kept import answers
from hcompress.heads.encodings.encode import Encoded, Evidence, Teacher, encoded
from hcompress.heads.encodings.menu import Encoding, encoding, menu

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from hcompress.data.sample import Sample
    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress

    Floats = NDArray[np.float32]

PLANNED: Final = "auto"
JUDGED_EVERY: Final = 3
"""Every third line judges the encodings that the others are fitted to."""


@dataclass(frozen=True)
class Ground:
    """What encodings of a model's head are fitted to and judged by."""

    model: ForeignModel
    teacher: Teacher
    evidence: Evidence
    judged: Judged
    fitted: Sequence[Floats]
    """Features [T, d] of the lines that encodings are fitted to."""
    lines: int
    """All lines that were read."""


def ground(
    model: ForeignModel, samples: Sequence[Sample], threads: int, progress: Progress
) -> Ground:
    """Decision features of lines, once.

    Raises InputRefused if there are too few to judge by, or the model reads nothing on them: any
    encoding would hold.
    """
    if len(samples) < JUDGED_EVERY:
        raise InputRefused(f"{len(samples)} lines: too few to fit an encoding to and to judge it")
    features = Features(model, threads).of([one.image for one in samples], "features", progress)
    teacher = plan_head.never_answered(plan_head.teacher_of(model), features)
    blank = model.spec.blank
    fitted_to = [one for place, one in enumerate(features) if place % JUDGED_EVERY]
    kept = range(0, len(samples), JUDGED_EVERY)
    judged = Judged([features[place] for place in kept], [samples[place].text for place in kept])
    if not all(
        plan_head.says_something(part, teacher, blank) for part in (fitted_to, judged.features)
    ):
        raise InputRefused(
            f"{len(samples)} lines: the recogniser reads next to nothing on them: are they lines?"
        )
    evidence = plan_head.evidence_of(fitted_to, teacher, blank)
    return Ground(model, teacher, evidence, judged, fitted_to, len(samples))


def planned(
    found: Ground,
    file_bytes: int,
    max_loss: float,
    seed: int,
    progress: Progress,
    *,
    every: bool = False,
) -> tuple[list[Row], Row]:
    """Encodings worth trying, and the smallest that loses no more than ``max_loss`` points.

    ``every`` one of the menu, or those that may be chosen.
    """
    held = sum(array.nbytes for array in (found.teacher.weight, found.teacher.bias))
    table = plan_head.rows(
        list(menu(found.teacher.weight.shape[1], seed)),
        found.teacher,
        found.evidence,
        found.judged,
        found.model.spec,
        file_bytes - held,
        progress,
        None if every else max_loss,
    )
    return table, plan_head.chosen(table, max_loss)


def fitted(found: Ground, one: Encoding) -> Encoded:
    """The head in that encoding."""
    return encoded(found.teacher, found.evidence, one.fit)


def check_floats(model: ForeignModel, stored: ModelProto) -> None:
    """Raises InputRefused if the stored graph's classifier is in an encoding."""
    if model.classifier.weight not in {one.name for one in stored.graph.initializer}:
        raise InputRefused("the classifier is encoded already: encode the file that it came from")


def with_head(model: ForeignModel, stored: ModelProto, head: Encoded) -> ModelProto:
    """The stored graph with its classifier in an encoding, both as `with_bias` gives them.

    Raises InputRefused if it is in one.
    """
    check_floats(model, stored)
    part = model.classifier
    held = {one.name: tuple(one.dims) for one in stored.graph.initializer}
    assert part.bias is not None, "with_bias gives it one"
    put = {
        part.weight: Stored(head.weight, held[part.weight], not part.rows),
        part.bias: Stored(head.bias, held[part.bias]),
    }
    return with_stored(stored, put, dict.fromkeys(put, "classifier"))


def measured(found: Ground, head: Encoded, name: str, other_bytes: int) -> dict[str, Any]:
    """What a head keeps of the answers, on lines it was not fitted to."""
    before = answers(found.judged.features, found.teacher.weight, found.teacher.bias)
    spec = found.model.spec
    return plan_head.row(name, head, before, found.judged, spec, other_bytes).to_dict()


def named(name: str, found: Ground, seed: int) -> Encoding:
    """The encoding of that name. Raises UsageError if there is none for so many features."""
    return encoding(name, found.teacher.weight.shape[1], seed)
