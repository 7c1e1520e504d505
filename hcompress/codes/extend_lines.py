"""Which lines of labelled images show the characters that a model is to learn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hcompress.charset import UnknownCharacter, is_inkless
from hcompress.charset import named as listed
from hcompress.data.order import drawn
from hcompress.data.sample import Label, label_of, text_of
from hcompress.errors import InputRefused, UsageError
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from hcompress.codes.options import ExtendOptions
    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress


NAMED = 20
"""Lines an error names at most."""


WITHOUT_INK = "no image shows a character without ink, so nothing says what its code is"


@dataclass(frozen=True)
class Sightings:
    """What was found."""

    vocabulary: Vocabulary
    """The model's, and the new characters after them."""
    indices: tuple[int, ...]
    """Lines of the data that show new characters, as many as are needed, as they were looked at."""


def sight(
    options: ExtendOptions,
    named: tuple[str, ...] | None,
    source: DataSource,
    known: Vocabulary,
    max_steps: int,
    progress: Progress,
) -> Sightings:
    """Look through the labels for new characters: those ``named``, or all if None.

    A line counts where the decoder can come to its end: at most max_steps - 1 characters.
    Raises InputRefused where a new character is known already, has no ink (its code would be that
    of whatever comes next, mostly of the end of a line), or is in no line that counts, and
    UsageError where there is none.
    """
    if named is not None:
        _grown(known, named)  # refuses what is known before anything is looked at
        _check_ink(named)
    looked = drawn(source, options.lines)
    seen: Counter[str] = Counter()
    indices: list[int] = []
    inkless: dict[int, Label] = {}
    progress.start("looking for new characters", len(looked))
    for index in looked:
        text = text_of(source, index)
        progress.advance()
        strangers = [c for c in text if c not in known]
        if named is None and any(map(is_inkless, strangers)):
            inkless[index] = label_of(source, index)
            continue
        if not strangers or len(text) >= max_steps or not _counts(options, text, known, named):
            continue
        if any(seen[c] < options.images for c in strangers):
            indices.append(index)
            seen.update(strangers)
        if named is not None and all(seen[c] >= options.images for c in named):
            break
    progress.finish()
    _check_labels([inkless[index] for index in sorted(inkless)], known, options.unknown, progress)
    if named is None and not seen:
        raise UsageError(
            f"{options.data}: nothing to add: the model has every character of the"
            f" {len(looked)} labels looked at"
        )
    characters = named if named is not None else tuple(sorted(seen))
    missing = [c for c in characters if not seen[c]]
    if missing:
        raise InputRefused(
            f"{options.data}: no image among {len(looked)} shows {listed(missing)} in a line"
            f" of at most {max_steps - 1} characters; give one, or more lines"
        )
    return Sightings(_grown(known, characters), tuple(indices))


def _check_ink(named: tuple[str, ...]) -> None:
    inkless = [c for c in named if is_inkless(c)]
    if inkless:
        raise InputRefused(f"new characters: {listed(inkless)}: {WITHOUT_INK}; take them out")


def _check_labels(
    labels: list[Label], known: Vocabulary, unknown: UnknownCharacter, progress: Progress
) -> None:
    """Refuse, or leave out, lines whose labels have new characters without ink."""
    if not labels:
        return
    new = sorted({c for label in labels for c in label.text if c not in known and is_inkless(c)})
    what = f"{listed(new)} in {len(labels):,} labels: {WITHOUT_INK}"
    if unknown is UnknownCharacter.SKIP_LINE:
        progress.say(f"{what}: these lines are left out")
        return
    where = "; ".join(f"{label.where}: {label.text!r}" for label in labels[:NAMED])
    more = f" and {len(labels) - NAMED:,} more" if len(labels) > NAMED else ""
    raise InputRefused(
        f"{what}; take them out of the labels, or choose unknown = skip-line: {where}{more}"
    )


def _grown(known: Vocabulary, characters: tuple[str, ...]) -> Vocabulary:
    try:
        return known.with_characters((*known.characters, *characters))
    except InputRefused as error:
        raise InputRefused(f"new characters: {error}") from None


def _counts(
    options: ExtendOptions, text: str, known: Vocabulary, named: tuple[str, ...] | None
) -> bool:
    """Whether every character is known or to be added."""
    if named is None:
        return True
    foreign = next((c for c in text if c not in known and c not in named), None)
    if foreign is not None and options.unknown is UnknownCharacter.REFUSE:
        raise InputRefused(
            f"{options.data}: label {text!r}: {foreign!r} (U+{ord(foreign):04X}) is neither in the"
            " model nor among the new characters; add it, or choose unknown = skip-line"
        )
    return foreign is None
