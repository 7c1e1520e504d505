"""A teacher with the classes of what was made of it: fewer, more, or some that never answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hcompress.foreign.edit import with_bias
from hcompress.foreign.head import Head, opened_with, with_head
from hcompress.foreign.relist import with_listing
from hcompress.onnx_writer.packed import Plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import ForeignModel


def with_classes_of(
    model: ForeignModel, teacher: ForeignModel, *, said: bool
) -> ForeignModel | None:
    """The teacher, its classes those of ``model``; None if it is another recogniser.

    Classes that it lacks, and those that were dropped, are the model's own. ``said``: what its
    classes stand for is known, and not taken from the model.
    """
    mine, its = model.spec, teacher.spec
    if model.classifier.width != teacher.classifier.width:
        return None
    count = teacher.classifier.classes
    if (not said or its.classes == mine.classes) and count == len(mine.classes):
        same = mine.dropped == (its.dropped if said else frozenset())
        if same and (said or mine.origin is None):
            return teacher
    places = _places(model, teacher, said=said)
    if places is None:
        return None
    model, _ = with_bias(model, model.proto)
    teacher, _ = with_bias(teacher, teacher.proto)
    weights, biases = (one.copy() for one in model.class_weights())
    theirs = places >= 0
    others = teacher.class_weights()
    weights[theirs], biases[theirs] = (one[places[theirs]] for one in others)
    head = Head(Plain(weights), Plain(biases[:, None]))
    blank = int(places[mine.blank])
    old = its if said else replace(mine, classes=("",) * count, blank=blank)
    proto = with_listing(with_head(teacher, teacher.proto, head), old, mine)
    return opened_with(replace(teacher, proto=proto, spec=mine), len(weights))


def _places(model: ForeignModel, teacher: ForeignModel, *, said: bool) -> NDArray[np.intp] | None:
    """[V]: where each class of the model is in the teacher, -1 if it is not to be taken from it;
    None if the two can't be of one recogniser."""
    mine, its = model.spec, teacher.spec
    count = teacher.classifier.classes
    ids = mine.origin or range(len(mine.classes))
    before = its.origin if said else None
    known = {old: new for new, old in enumerate(before)} if before else {i: i for i in range(count)}
    places = [known.get(old, -1) if old >= 0 else -1 for old in ids]
    if any(old >= 0 and place < 0 for old, place in zip(ids, places, strict=True)):
        return None
    if said and not _alike(mine.classes, its.classes, places):
        return None
    if places[mine.blank] < 0:
        return None
    return np.array([-1 if i in mine.dropped else place for i, place in enumerate(places)], np.intp)


def _alike(mine: tuple[str, ...], its: tuple[str, ...], places: list[int]) -> bool:
    """Whether most classes stand for the same: some may have been merged."""
    pairs = [(one, its[place]) for one, place in zip(mine, places, strict=True) if place >= 0]
    return 2 * sum(one == other for one, other in pairs) > len(pairs)
