"""Labels that no reading of a model can match: a figure of 0% must say why.

Characters outside the charset, blanks that no image shows, other forms of characters that the
model has (full width, or an accent after its letter), and texts longer than its steps.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from hcompress.charset import named
from hcompress.metrics import Ignored, folded

if TYPE_CHECKING:
    from hcompress.evaluation.readers import Reader


MOST_CHARACTERS: Final = 100
MOST_LINES: Final = 20
MOST_TOLD: Final = 5
_WORDS: Final = {
    "blank": "with a blank at an end, which no image shows (--ignore-space leaves it out)",
    "decomposed": "with accents apart from their letters; after NFC it would know them",
    "width": "with full-width or other forms of characters that it knows (--ignore-width)",
    "outside": "with characters outside its charset",
    "long": "longer than it reads in as many pieces as the image was cut into",
}
"""What is wrong with a label, the first that is: `unmatched` counts by these names."""


class WasRead(Protocol):
    """A line of the data, and whether it was read right."""

    @property
    def index(self) -> int: ...

    @property
    def truth(self) -> str: ...

    @property
    def right(self) -> bool: ...

    @property
    def pieces(self) -> int: ...


@runtime_checkable
class InPieces(Protocol):
    """A reading of a line that may have been cut."""

    @property
    def pieces(self) -> int: ...


def pieces_of(reading: object) -> int:
    """How many pieces a line was read in, as its reading says."""
    return reading.pieces if isinstance(reading, InPieces) else 1


@runtime_checkable
class Stepwise(Protocol):
    """A reader whose steps end."""

    @property
    def longest(self) -> int | None:
        """Characters that it reads in one piece of a line, at most."""
        ...


def unmatched(lines: Iterable[WasRead], reader: Reader, ignored: Ignored) -> dict[str, Any] | None:
    """What is wrong with the labels of lines that could not be read right; None if nothing is.

    As ``unmatched`` stands in `hcompress eval --json`. ``lines`` and the charset are ``ignored``'s:
    what does not count is wrong with no label.
    """
    known = frozenset(c for answer in reader.characters for c in folded(answer, ignored))
    longest = reader.longest if isinstance(reader, Stepwise) else None
    kinds: Counter[str] = Counter()
    strangers: Counter[str] = Counter()
    examples: list[dict[str, Any]] = []
    for line in lines:
        most = None if longest is None else longest * line.pieces
        why = None if line.right else _why(line.truth, known, most)
        if why is None:
            continue
        kinds[why] += 1
        strangers.update(set(line.truth) - known)
        if len(examples) < MOST_LINES:
            examples.append({"index": line.index, "truth": line.truth, "why": why})
    if not kinds:
        return None
    return {
        "lines": kinds.total(),
        **{kind: kinds[kind] for kind in _WORDS if kinds[kind]},
        "characters": dict(_most(strangers)),
        "examples": examples,
    }


def _most(strangers: Counter[str]) -> list[tuple[str, int]]:
    return sorted(strangers.items(), key=lambda one: (-one[1], one[0]))[:MOST_CHARACTERS]


def _why(truth: str, known: frozenset[str], longest: int | None) -> str | None:
    if truth != truth.strip():
        return "blank"
    if known.issuperset(truth):
        return "long" if longest is not None and len(truth) > longest else None
    return next((kind for kind, form in _FORMS if known.issuperset(form(truth))), "outside")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


_FORMS: Final = (("decomposed", _nfc), ("width", _nfkc))


def said(found: Mapping[str, Any], of: int) -> list[str]:
    """What people are told of it, in lines."""
    told = [f"{found['lines']:,} of {of:,} labels can't be read right by this model:"]
    told += [f"  {found[kind]:,} {words}" for kind, words in _WORDS.items() if kind in found]
    if found["characters"]:
        told.append(f"  not in its charset: {named(found['characters'])}")
    where = (f"entry {one['index'] + 1} {one['truth']!r}" for one in found["examples"][:MOST_TOLD])
    return [*told, f"  such as {', '.join(where)}"]
