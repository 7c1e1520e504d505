"""Fewer classes: those that stay answer as before, score for score.

V classes, d features.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.charset import named
from hcompress.compress.options import Ids, Unlisted
from hcompress.errors import InputRefused
from hcompress.foreign.edit import with_bias
from hcompress.foreign.head import Head, like, opened_with, stored_head, with_head
from hcompress.foreign.relist import with_listing
from hcompress.onnx_writer.packed import Spread
from hcompress.onnx_writer.unpacked import stacked

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress
    from hcompress.spec.foreign import ForeignSpec

    Rows = NDArray[np.intp]

BELOW_BLANK: Final = 60.0
"""How far a dropped class scores below the blank, whatever the features are: it has the blank's
column. Even 100,000 of them take less of a softmax than float32 can tell, and FP16 holds it."""


def entries(lines: Iterable[str], known: Iterable[str], *, text: bool) -> list[str]:
    """What a list names, each once: lines that are classes, and of other lines of a ``text`` each
    character."""
    classes = frozenset(known)
    found: list[str] = []
    for line in lines:
        whole = line in classes or not text
        found.extend([line] if whole else line)
    return [one for one in dict.fromkeys(found) if one]


def in_text(text: str, known: Iterable[str]) -> list[str]:
    """The classes that a text is written with: its characters, and longer classes that stand in
    it."""
    characters = [one for one in dict.fromkeys(text) if one not in "\r\n\t\ufeff\u3000 "]
    longer = [one for one in dict.fromkeys(known) if len(one) > 1 and one in text]
    parts = {part for one in longer for part in one}
    there = frozenset(known)
    return [one for one in characters if one in there or one not in parts] + longer


def kept_classes(
    spec: ForeignSpec, wanted: Sequence[str], unlisted: Unlisted, progress: Progress
) -> Rows:
    """The ids [kept], ascending, of blank, space, and every class that stands for what is wanted.

    Raises InputRefused, naming them, if the recogniser has no class for some, unless they are to be
    passed over; or if it has none for any.
    """
    there = frozenset(spec.characters)
    missing = [one for one in wanted if one not in there]
    if missing:
        _refuse(spec, missing, unlisted, progress)
    chosen = frozenset(wanted) & there
    if not chosen:
        raise InputRefused("nothing is left: the recogniser has none of these characters")
    out = spec.dropped
    return np.array(
        [
            place
            for place, one in enumerate(spec.classes)
            if place == spec.blank or (place not in out and (one in chosen or one == " "))
        ],
        np.intp,
    )


def _refuse(
    spec: ForeignSpec, missing: Sequence[str], unlisted: Unlisted, progress: Progress
) -> None:
    what = f"{len(missing):,} characters that the recogniser has no class for: {_shown(missing)}"
    if unlisted is Unlisted.SKIP:
        progress.say(f"passed over: {what}")
        return
    folded = {unicodedata.normalize("NFKC", one): one for one in spec.characters}
    alike = [(one, folded.get(unicodedata.normalize("NFKC", one))) for one in missing]
    pairs = [f"{other!r} for {one!r}" for one, other in alike if other is not None]
    hint = f"; it has {', '.join(pairs[:5])}, which look alike" if pairs else ""
    raise InputRefused(f"{what}{hint}; take them out, or choose unknown = skip")


def _shown(strings: Sequence[str]) -> str:
    single = [one for one in strings if len(one) == 1]
    longer = [repr(one) for one in strings if len(one) != 1]
    return ", ".join([*([named(single)] if single else []), *longer[:20]])


def pruned(
    model: ForeignModel, stored: ModelProto, kept: Rows, ids: Ids
) -> tuple[ForeignModel, ModelProto]:
    """What the model means with these classes alone, and its stored graph with them.

    Of the model the graph is left as it was: it is the stored one that goes on. Raises
    InputRefused if the graph can't be edited so.
    """
    if ids is Ids.KEEP:
        model, stored = with_bias(model, stored)
        head = silenced(stored_head(model, stored), kept, model.spec.blank)
        out = frozenset(range(len(model.spec.classes))) - frozenset(kept.tolist())
        return replace(model, spec=replace(model.spec, dropped=out)), with_head(model, stored, head)
    return renumbered(model, stored, kept)


def renumbered(
    model: ForeignModel, stored: ModelProto, kept: Rows
) -> tuple[ForeignModel, ModelProto]:
    """The classes of these ids, ascending, counted anew."""
    old = model.spec
    places = kept.tolist()
    origin = places if old.origin is None else [old.origin[place] for place in places]
    spec = replace(
        old,
        classes=tuple(old.classes[place] for place in places),
        blank=places.index(old.blank),
        dropped=frozenset(new for new, place in enumerate(places) if place in old.dropped),
        origin=tuple(origin),
    )
    made = with_head(model, stored, stored_head(model, stored).take(kept))
    return opened_with(replace(model, spec=spec), len(kept)), with_listing(made, old, spec)


def silenced(head: Head, kept: Rows, blank: int) -> Head:
    """All classes but the ``kept`` by one row: the blank's, `BELOW_BLANK` under it."""
    assert head.bias is not None
    live = np.zeros(head.classes, bool)
    live[kept] = True
    if live.all():
        return head
    alone = head.take(np.array([blank], np.intp))
    assert alone.bias is not None
    low = like(head.weight, alone.bias.floats() - np.float32(BELOW_BLANK))
    rest = head.take(kept)
    assert rest.bias is not None
    return Head(
        Spread(stacked((alone.weight, rest.weight)), live),
        Spread(stacked((low, rest.bias)), live),
    )


def without(
    model: ForeignModel, stored: ModelProto, characters: Sequence[str]
) -> tuple[ForeignModel, ModelProto]:
    """The model and its stored graph without the classes of these characters."""
    out = frozenset(characters)
    old = model.spec
    kept = [i for i, one in enumerate(old.classes) if i == old.blank or one not in out]
    if len(kept) == len(old.classes):
        return model, stored
    left, made = renumbered(model, stored, np.array(kept, np.intp))
    _, plain = renumbered(model, model.proto, np.array(kept, np.intp))
    return replace(left, proto=plain), made
