"""What a recogniser lists and can't read: its characters, drawn and read.

Lines of them are drawn without any wear, each character some times in training fonts and some in
others, so that what is never read is unknown to the model and not spoilt by an image.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hcompress.data.render.charset_lines import charset_lines
from hcompress.data.render.spec import Degradation, Split
from hcompress.errors import InputRefused
from hcompress.metrics import misread

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource
    from hcompress.evaluation.readers import Reader
    from hcompress.progress import Progress

BATCH: Final = 64
_A_LINE: Final = 6
"""Characters of a line, about: so many lines show each as often as is asked."""
_BLOCKS: Final = (
    (0x0000, "ASCII"), (0x0080, "Latin"), (0x0370, "Greek"), (0x0400, "Cyrillic"),
    (0x0530, "other alphabets"), (0x2000, "signs and symbols"), (0x2E80, "radicals and marks"),
    (0x3040, "Hiragana and Katakana"), (0x3100, "Bopomofo, Hangul, enclosed"),
    (0x3400, "CJK Extension A"), (0x4DC0, "signs and symbols"), (0x4E00, "CJK, other"),
    (0xA000, "other alphabets"), (0xAC00, "Hangul"), (0xD7B0, "other alphabets"),
    (0xF900, "CJK compatibility"), (0xFB00, "presentation forms"), (0xFF00, "full width"),
    (0xFFF0, "other alphabets"), (0x1F000, "emoji and pictures"), (0x20000, "CJK Extensions B on"),
)  # fmt: skip
"""Where what begins."""
_FIRST: Final = (
    "ASCII", "full width", "signs and symbols", "GB2312 level 1", "GB2312 level 2", "CJK, other",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """How often a character was shown, and read."""

    shown: int
    read: int


@dataclass(frozen=True)
class Share:
    """Of a group of characters."""

    group: str
    listed: int
    shown: int
    """Of them, those that a font draws."""
    read: float | None
    """Of all times that they were shown; None if they never were."""
    never: str
    """Those that were never read, one after the other."""


@dataclass(frozen=True)
class Coverage:
    """A report."""

    shares: tuple[Share, ...]
    whole: Share
    longer: int
    """Classes that are no single character: not drawn."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "listed": self.whole.listed,
            "shown": self.whole.shown,
            "read": self.whole.read,
            "never_read": self.whole.never,
            "longer_classes": self.longer,
            "groups": [vars(one) for one in self.shares],
        }

    def rows(self) -> list[list[str]]:
        """A table, header first."""
        rows = [["characters", "listed", "drawn", "read", "never read"]]
        for one in (*self.shares, self.whole):
            read = "" if one.read is None else f"{one.read:.3f}"
            rows.append(
                [one.group, f"{one.listed:,}", f"{one.shown:,}", read, f"{len(one.never):,}"]
            )
        return rows


def sources(characters: Sequence[str], times: int, seed: int) -> list[DataSource]:
    """Lines that show each about ``times`` times: a third of them in fonts kept for tests.

    Raises InputRefused if no font draws any, EnvironmentFailed if fonts are missing.
    """
    unseen = max(1, times // 3)
    found: list[DataSource] = []
    for split, count in ((Split.TRAIN, max(1, times - unseen)), (Split.UNSEEN, unseen)):
        lines = -(-len(characters) * count // _A_LINE)
        try:
            found.append(charset_lines(characters, lines, seed, split, Degradation()))
        except InputRefused:
            continue
    if not found:
        raise InputRefused("no font draws any of the model's characters")
    return found


def tally(reader: Reader, given: Iterable[DataSource], progress: Progress) -> dict[str, Seen]:
    """How often each character of the lines was shown, and read where it stood."""
    counts: dict[str, list[int]] = {}
    for source in given:
        progress.start("lines", len(source))
        for start in range(0, len(source), BATCH):
            samples = [source[i] for i in range(start, min(start + BATCH, len(source)))]
            readings = reader.read([one.image for one in samples])
            for sample, reading in zip(samples, readings, strict=True):
                lost = misread(sample.text, reading.text)
                for one, wrong in zip(sample.text, lost, strict=True):
                    count = counts.setdefault(one, [0, 0])
                    count[0] += 1
                    count[1] += not wrong
            progress.advance(len(samples))
        progress.finish()
    return {one: Seen(*count) for one, count in counts.items()}


def report(characters: Sequence[str], seen: Mapping[str, Seen]) -> Coverage:
    """By groups: levels of GB2312, and Unicode's blocks."""
    single = [one for one in dict.fromkeys(characters) if len(one) == 1 and not one.isspace()]
    groups: dict[str, list[str]] = {}
    for one in single:
        groups.setdefault(group_of(one), []).append(one)
    shares = tuple(_share(name, groups[name], seen) for name in sorted(groups, key=_order))
    longer = sum(len(one) != 1 for one in characters)
    return Coverage(shares, _share("all", single, seen), longer)


def _share(name: str, members: Sequence[str], seen: Mapping[str, Seen]) -> Share:
    there = {one: seen[one] for one in members if one in seen}
    shown = sum(one.shown for one in there.values())
    read = sum(one.read for one in there.values()) / shown if shown else None
    never = "".join(one for one, found in there.items() if not found.read)
    return Share(name, len(members), len(there), read, never)


def group_of(character: str) -> str:
    """The group a character is counted in."""
    if unicodedata.category(character) == "Lo":
        level = _gb2312_level(character)
        if level is not None:
            return f"GB2312 level {level}"
    point = ord(character)
    return next(name for start, name in reversed(_BLOCKS) if point >= start)


def _gb2312_level(character: str) -> int | None:
    try:
        first, *rest = character.encode("gb2312")
    except UnicodeEncodeError:
        return None
    if not rest or first < 0xB0:
        return None
    return 1 if first <= 0xD7 else 2


def _order(name: str) -> tuple[int, str]:
    """What is read most first."""
    return (_FIRST.index(name), "") if name in _FIRST else (len(_FIRST), name)
