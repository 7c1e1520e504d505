"""More classes for a foreign recogniser, from lines that show them.

V classes, d features, n new characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hcompress.charset import UnknownCharacter, is_inkless, named
from hcompress.compress.new_columns import Columns, Known, judged
from hcompress.data.order import drawn
from hcompress.data.sample import text_of
from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.align import aligned
from hcompress.foreign.features import Features
from hcompress.foreign.head import Head, like, opened_with, stored_head, with_head
from hcompress.foreign.relist import end_of_listed, with_listing
from hcompress.onnx_writer.unpacked import stacked

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from hcompress.data.sample import DataSource
    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress
    from hcompress.spec.foreign import ForeignSpec

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """New characters, and where they are to be looked for."""

    characters: tuple[str, ...] | None
    """None: all of the labels that the recogniser lacks."""
    images: int
    """Times that each is looked at."""
    lines: int
    """Lines of the data that are looked through."""
    unknown: UnknownCharacter
    """What a character does that is neither known nor wanted."""


@dataclass(frozen=True)
class Sighted:
    """Which lines show new characters."""

    characters: tuple[str, ...]
    lines: tuple[int, ...]


def sighted(wanted: Wanted, source: DataSource, spec: ForeignSpec, where: str) -> Sighted:
    """Look through the labels.

    Raises InputRefused if a wanted character is known, has no ink or is in no line, or if a label
    has others that are not known; UsageError if there is nothing to add.
    """
    known = frozenset(spec.characters) | {" "}
    asked = None if wanted.characters is None else frozenset(wanted.characters)
    _check_new(asked or frozenset(), known)
    seen: Counter[str] = Counter()
    chosen: list[int] = []
    for place in drawn(source, wanted.lines):
        text = text_of(source, place)
        new = {one for one in text if one not in known and not is_inkless(one)}
        others = [] if asked is None else sorted(new - asked)
        if others:
            _refuse(others, text, wanted.unknown, where)
            continue
        if any(seen[one] < wanted.images for one in new):
            chosen.append(place)
            seen.update(one for one in text if one in new)
    characters = tuple(sorted(seen)) if wanted.characters is None else wanted.characters
    if not characters:
        raise UsageError(
            f"{where}: nothing to add: the recogniser has every character of the labels"
        )
    missing = [one for one in characters if not seen[one]]
    if missing:
        raise InputRefused(f"{where}: no line shows {named(missing)}: give one, or more lines")
    return Sighted(characters, tuple(chosen))


def _check_new(asked: frozenset[str], known: frozenset[str]) -> None:
    there = sorted(asked & known)
    if there:
        raise InputRefused(
            f"new characters: {named(there)}: the recogniser has them; to give them new columns,"
            " choose again = true"
        )
    inkless = sorted(filter(is_inkless, asked))
    if inkless:
        raise InputRefused(f"new characters: {named(inkless)}: no image shows what has no ink")


def _refuse(others: Sequence[str], text: str, unknown: UnknownCharacter, where: str) -> None:
    if unknown is UnknownCharacter.REFUSE:
        raise InputRefused(
            f"{where}: label {text!r}: {named(others)}: neither known nor to be added; add them, or"
            " choose unknown = skip-line"
        )


@dataclass(frozen=True)
class Shown:
    """Frames that show new characters."""

    own: Known
    which: NDArray[np.intp]
    """[M], the place of each frame's character among the new ones."""
    rest: Floats
    """[M', d], the other frames of these lines."""

    @property
    def counts(self) -> NDArray[np.intp]:
        return np.bincount(self.which)


def shown(
    model: ForeignModel,
    source: DataSource,
    found: Sighted,
    images: int,
    threads: int,
    progress: Progress,
) -> Shown:
    """Frames of the new characters, by alignment of each line's label, at most ``images`` of each.

    Raises InputRefused if a character is in no line that has frames enough for its label.
    """
    samples = [source[place] for place in found.lines]
    features = Features(model, threads).of(
        [one.image for one in samples], "new characters", progress
    )
    weight, bias = model.class_weights()
    new = {one: place for place, one in enumerate(found.characters)}
    own: list[Floats] = []
    which: list[int] = []
    rest: list[Floats] = []
    seen: Counter[int] = Counter()
    for sample, line in zip(samples, features, strict=True):
        text = [one for one in sample.text if not is_inkless(one)]
        places = _aligned(line, text, new, model.spec, weight, bias)
        if places is None:
            continue
        rest.append(line[_apart(places, text, new)])
        for place in sorted(set(places.tolist()) - {-1}):
            one = new.get(text[place])
            if one is not None and seen[one] < images:
                seen[one] += 1
                own.append(line[places == place])
                which += [one] * int((places == place).sum())
    missing = [one for place, one in enumerate(found.characters) if not seen[place]]
    if missing:
        raise InputRefused(f"{named(missing)}: in no line that is wide enough for its label")
    frames = judged(own, weight, bias, blank=-1)
    return Shown(frames, np.array(which, np.intp), np.concatenate(rest))


def _apart(places: NDArray[np.intp], text: Sequence[str], new: dict[str, int]) -> NDArray[np.bool_]:
    """[T]: frames that neither show a new character nor stand beside one: it may be as wide."""
    shows = np.array([place >= 0 and text[place] in new for place in places], np.bool_)
    beside = shows.copy()
    beside[1:] |= shows[:-1]
    beside[:-1] |= shows[1:]
    return ~beside


def _aligned(
    line: Floats,
    text: Sequence[str],
    new: dict[str, int],
    spec: ForeignSpec,
    weight: Floats,
    bias: Floats,
) -> NDArray[np.intp] | None:
    scores = line @ weight.T + bias
    chances = np.exp(scores - scores.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    ids = {
        one: place
        for place, one in reversed(list(enumerate(spec.classes)))
        if place != spec.blank and place not in spec.dropped
    }
    label = [None if one in new else ids.get(one) for one in text]
    return aligned(chances, spec.blank, label)


def extended(
    model: ForeignModel, stored: ModelProto, characters: Sequence[str], columns: Columns
) -> tuple[ForeignModel, ModelProto]:
    """The model and its stored graph with new classes, where its list goes on as it does.

    Both have a bias a class.
    """
    old = model.spec
    head, place = stored_head(model, stored), end_of_listed(stored, old)
    spec = replace(
        old,
        classes=(*old.classes[:place], *characters, *old.classes[place:]),
        blank=old.blank + (len(characters) if old.blank >= place else 0),
        dropped=frozenset(one + (len(characters) if one >= place else 0) for one in old.dropped),
        origin=_origin(old, place, len(characters)),
    )
    made = with_head(model, stored, _with_rows(head, place, columns))
    return opened_with(replace(model, spec=spec), len(spec.classes)), with_listing(made, old, spec)


def _origin(old: ForeignSpec, place: int, count: int) -> tuple[int, ...]:
    before = old.origin or tuple(range(len(old.classes)))
    return (*before[:place], *([-1] * count), *before[place:])


def _with_rows(head: Head, place: int, new: Columns) -> Head:
    assert head.bias is not None
    first = np.arange(place)
    last = np.arange(place, head.classes)
    weights = [head.weight.take(first), like(head.weight, new.weight)]
    biases = [head.bias.take(first), like(head.weight, new.bias[:, None])]
    if len(last):
        weights.append(head.weight.take(last))
        biases.append(head.bias.take(last))
    return Head(stacked(weights), stacked(biases))
