"""A model card: what a model file is and how well it reads, as Markdown made of measurements."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hcompress.reports import caveats as limits
from hcompress.reports.markdown import markdown_list
from hcompress.reports.model import Accuracy, RunReport
from hcompress.reports.rows import ACCURACY_HEADER, accuracy_cells, outcome_rows
from hcompress.reports.size_table import (
    breakdown_rows,
    markdown_table,
    markdown_text,
    mib_text,
    table1_markdown,
)
from hcompress.sizes import Breakdown
from hcompress.spec.header import ModelMetadata

MARK: Final = "<!-- Written by hcompress card: changes made by hand are lost. -->"
"""The first line: what tells a card of ours from somebody's file."""


@dataclass(frozen=True)
class Font:
    """A typeface that data is drawn in."""

    family: str
    licence: str


@dataclass(frozen=True)
class Data:
    """A set of images, to learn from or to measure on."""

    name: str
    digest: str
    images: int
    fonts: tuple[Font, ...] = ()
    """None where the images are not rendered text."""
    lengths: tuple[int, int] | None = None
    """Characters a line, at least and at most, where the text is rendered."""


@dataclass(frozen=True)
class Measured:
    """What a model read of some data."""

    data: Data
    accuracy: Accuracy


@dataclass(frozen=True)
class Teacher:
    """The recogniser that a model was made from."""

    name: str
    digest: str


@dataclass(frozen=True)
class Card:
    """Everything a card says."""

    name: str
    digest: str
    breakdown: Breakdown
    techniques: tuple[str, ...]
    metadata: ModelMetadata
    measured: tuple[Measured, ...]
    trained_on: tuple[Data, ...] = ()
    run: RunReport | None = None
    """The run that made it."""
    teacher: Teacher | None = None
    licence: str | None = None


def render_card(card: Card) -> str:
    """The whole card."""
    return "\n".join(block.rstrip("\n") + "\n" for block in _blocks(card) if block)


def _blocks(card: Card) -> Iterator[str]:
    yield MARK
    yield f"# {markdown_text(card.name)}"
    yield _what_it_does(card)
    yield markdown_list(_summary(card))
    yield "## Accuracy"
    yield markdown_table(_accuracy_rows(card))
    yield (
        "A line counts as read if every character is right; the interval is Wilson's, 95%. NED "
        "is the edit distance over the longer text's length. Confidence is a line's, on average, "
        "and its calibration error is over ten equal bins."
    )
    yield "## Bytes"
    yield markdown_table(breakdown_rows(card.breakdown))
    if card.run is not None:
        yield "## How it was made"
        yield _made(card.run)
    yield "## Data"
    yield markdown_table(_data_rows(card))
    yield _fonts(card)
    yield "## Limits"
    yield "\n".join(f"- {markdown_text(sentence)}" for sentence in card_limits(card))


def _what_it_does(card: Card) -> str:
    config = card.metadata.config
    size = config.preprocessing
    if size.any_width:
        return (
            f"Reads one line of text from an image {size.height} pixels high and up to"
            f" {size.width:,} wide, in {len(card.metadata.vocabulary.characters):,} characters."
        )
    return (
        f"Reads one line of text from an image of {size.height} × {size.width} pixels: up to"
        f" {config.max_steps - 1} characters, out of {len(card.metadata.vocabulary.characters):,}."
    )


def _summary(card: Card) -> list[tuple[str, str]]:
    size = card.breakdown.bytes
    made_from = card.teacher
    return [
        ("Bytes", f"{size:,} ({mib_text(size)} MiB)"),
        ("SHA-256", card.digest),
        ("Characters", kinds_text(card.metadata.vocabulary.characters)),
        ("In force", ", ".join(card.techniques) or "none of the paper's techniques"),
        *([("Teacher", f"{made_from.name}, SHA-256 {made_from.digest}")] if made_from else []),
        ("Licence", card.licence or "not stated"),
    ]


def kinds_text(characters: Sequence[str]) -> str:
    """How many characters there are, and of what kinds, the most frequent first."""
    counts = Counter(map(_kind, characters))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    return f"{len(characters):,}: {kinds}"


def _kind(character: str) -> str:
    if unicodedata.name(character, "").startswith("CJK "):
        return "Chinese characters"
    if character.isdigit():
        return "digits"
    return "letters" if character.isalpha() else "signs"


def _accuracy_rows(card: Card) -> list[list[str]]:
    return [
        ["data", "fonts", *ACCURACY_HEADER],
        *(
            [entry.data.name, fonts_text(entry.data, card), *accuracy_cells(entry.accuracy)]
            for entry in card.measured
        ),
    ]


def fonts_text(data: Data, card: Card) -> str:
    """Whether training has seen the fonts that ``data`` is drawn in, as far as is known."""
    trained = {font.family for entry in card.trained_on for font in entry.fonts}
    families = {font.family for font in data.fonts}
    if not families or not trained:
        return "–"
    if families <= trained:
        return "seen in training"
    return "some seen in training" if families & trained else "never seen"


def _made(run: RunReport) -> str:
    rows = [("Recipe", run.name), *outcome_rows(run)]
    return f"{markdown_list(rows)}\n\n{table1_markdown(run.columns)}"


def _data_rows(card: Card) -> list[list[str]]:
    rows = [["data", "for", "images it holds", "characters a line", "SHA-256"]]
    rows += [_data_row(entry, "training") for entry in card.trained_on]
    rows += [_data_row(entry.data, "measuring") for entry in card.measured]
    return rows


def _data_row(data: Data, use: str) -> list[str]:
    lengths = "–" if data.lengths is None else _range(*data.lengths)
    return [data.name, use, f"{data.images:,}", lengths, data.digest]


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _fonts(card: Card) -> str:
    """A row a typeface, in the order in which data names them; nothing without any."""
    trained = dict.fromkeys(font for entry in card.trained_on for font in entry.fonts)
    measured = dict.fromkeys(font for entry in card.measured for font in entry.data.fonts)
    rows = [["font family", "training", "measuring", "licence"]]
    rows += [
        [font.family, "✓" * (font in trained), "✓" * (font in measured), font.licence]
        for font in trained | measured
    ]
    return markdown_table(rows) if len(rows) > 1 else ""


def card_limits(card: Card) -> tuple[str, ...]:
    """What the figures do not show and the model does not do, the gravest first."""
    return tuple(_limits(card))


def _limits(card: Card) -> Iterator[str]:
    rendered = [entry.data for entry in card.measured if entry.data.lengths is not None]
    if rendered:
        yield limits.rendered(entry.name for entry in rendered)
        lengths = [bound for entry in rendered for bound in entry.lengths or ()]
        yield (
            f"Rendered lines had {_range(min(lengths), max(lengths))} characters; longer ones"
            " were not measured."
        )
    for entry in card.measured:
        users = _users(entry.data, card)
        if users:
            yield limits.looked_at(", ".join(users), entry.data.name)
    if card.teacher is not None:
        yield from limits.teacher(card.teacher.digest)
    if not card.trained_on:
        yield "What it was trained on is not told here."
    yield (
        "It reads one line and does not look for lines on a page. Lines too long for its input are"
        " cut at gaps and read in pieces."
    )
    yield "A character outside of its charset is read as one inside of it."
    yield limits.INTERVALS


def _users(data: Data, card: Card) -> list[str]:
    """What looked at ``data`` before it was measured on."""
    users = ["Training"] if data.digest in {entry.digest for entry in card.trained_on} else []
    stages = card.run.stages if card.run is not None else ()
    return users + [stage.folder for stage in stages if data.digest in stage.inputs.values()]
