"""Classes that look alike, answering as one.

V classes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.compress.options import Alike, Scores
from hcompress.compress.prune import renumbered
from hcompress.errors import InputRefused
from hcompress.foreign.dead import dead_classes
from hcompress.foreign.relist import with_listing

if TYPE_CHECKING:
    from onnx import ModelProto

    from hcompress.foreign.model import ForeignModel
    from hcompress.spec.foreign import ForeignSpec

_ALIKE: Final = ("", "<wide>", "<narrow>", "<compat>")
"""Decompositions that leave a character's look about as it is; a circled or a raised digit, or a
square of letters, is another sight."""


@dataclass(frozen=True)
class Merged:
    """A class that answers as another."""

    place: int
    """Its id before."""
    into: int
    """The id, before, of the class that it answers as."""
    scores: Scores
    """Maximum: both columns stay. Kept: its own is gone."""
    why: str


def look_alikes(spec: ForeignSpec, alike: Alike) -> list[list[int]]:
    """Groups of ids whose strings are equal after that form, the plainest first."""
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(spec.classes):
        if place == spec.blank or place in spec.dropped:
            continue
        groups.setdefault(_folded(one, alike), []).append(place)
    return [
        sorted(places, key=lambda place: (spec.classes[place] != folded, place))
        for folded, places in groups.items()
        if len(places) > 1
    ]


def _folded(string: str, alike: Alike) -> str:
    """After NFKC, but for characters that it makes something else of to look at; or after NFC."""
    if alike is Alike.NFC:
        return unicodedata.normalize("NFC", string)
    return "".join(
        unicodedata.normalize("NFKC", one) if _tag(one) in _ALIKE else one for one in string
    )


def _tag(character: str) -> str:
    first = unicodedata.decomposition(character).partition(" ")[0]
    return first if first.startswith("<") else ""


def named_groups(lines: Iterable[str], spec: ForeignSpec) -> list[list[int]]:
    """Groups of ids as a file names them: on each line the strings that are one, the first the one
    that they answer as; apart by white space, or else every character by itself.

    Raises InputRefused if a string is no class, or is in two groups.
    """
    places: dict[str, list[int]] = {}
    for place, one in enumerate(spec.classes):
        if place != spec.blank and place not in spec.dropped:
            places.setdefault(one, []).append(place)
    groups: list[list[int]] = []
    taken: set[str] = set()
    for line in lines:
        strings = list(dict.fromkeys(line.split() if len(line.split()) > 1 else line.strip()))
        for one in strings:
            if one not in places:
                raise InputRefused(f"{one!r} in {line!r}: the recogniser has no class for it")
            if one in taken:
                raise InputRefused(f"{one!r} in {line!r}: in two groups")
        taken.update(strings)
        group = [place for one in strings for place in places[one]]
        if len(group) > 1:
            groups.append(group)
    return groups


def chosen(model: ForeignModel, groups: Sequence[Sequence[int]], scores: Scores) -> list[Merged]:
    """What becomes of each class but the first of its group."""
    dead = frozenset(dead_classes(*model.class_weights(), model.spec.blank).tolist())
    return [
        Merged(place, group[0], *_how(place in dead, scores))
        for group in groups
        for place in group[1:]
    ]


def _how(dead: bool, scores: Scores) -> tuple[Scores, str]:
    if scores is Scores.AUTO:
        if dead:
            return Scores.KEPT, "its column was never trained: it is never answered"
        return Scores.MAXIMUM, "its column answers too: whichever scores higher"
    return scores, "as asked"


def merged(
    model: ForeignModel, stored: ModelProto, which: Sequence[Merged]
) -> tuple[ForeignModel, ModelProto]:
    """What the model means with these classes merged, and its stored graph."""
    old = model.spec
    classes = list(old.classes)
    for one in which:
        classes[one.place] = old.classes[one.into]
    origin = old.origin or tuple(range(len(classes)))
    spec = replace(old, classes=tuple(classes), origin=origin)
    made, model = with_listing(stored, old, spec), replace(model, spec=spec)
    gone = [one.place for one in which if one.scores is Scores.KEPT]
    if not gone:
        return model, made
    kept = np.setdiff1d(np.arange(len(classes)), np.array(gone))
    return renumbered(model, made, kept)
