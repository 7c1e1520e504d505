"""How ids become text: special ids are data of the recogniser's, never constants in code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hcompress.errors import InputRefused


class Scheme(StrEnum):
    """What a recogniser's steps stand for."""

    EOS = "eos"
    """Characters one after the other, until a special one says that the line has ended."""
    CTC = "ctc"
    """Places along the line: repeats collapse, and blanks drop out."""
    FIXED = "fixed"
    """Places of characters: step i is the i-th character, or padding."""


@dataclass(frozen=True)
class Transcription:
    """The scheme, and the special ids, which come before those of characters.

    Raises InputRefused if an id that the scheme needs is missing, or is none of the special ones.
    """

    scheme: Scheme
    specials: tuple[str, ...]
    """What ids 0, 1, ... are called; characters' ids follow."""
    pad: int | None = None
    """Stands at steps that don't count."""
    bos: int | None = None
    """What the first step is given in place of the character before."""
    eos: int | None = None
    blank: int | None = None
    first_answer: int = 0
    """Ids below are never answered."""

    def __post_init__(self) -> None:
        needed = {Scheme.EOS: ("pad", "bos", "eos"), Scheme.CTC: ("blank",), Scheme.FIXED: ("pad",)}
        for name in ("pad", "bos", "eos", "blank"):
            place = getattr(self, name)
            if place is None and name in needed[self.scheme]:
                raise InputRefused(f"{self.scheme} needs {name}")
            if place is not None and not 0 <= place < len(self.specials):
                raise InputRefused(f"{name} = {place}: not a special id")
        if not 0 <= self.first_answer <= len(self.specials):
            raise InputRefused(f"first_answer = {self.first_answer}: not special")

    def steps_read(self, ids: Sequence[int]) -> int:
        """How many steps of a line count towards its confidence, that of EOS included."""
        if self.scheme is not Scheme.EOS:
            return len(ids)
        return next((place + 1 for place, i in enumerate(ids) if i == self.eos), len(ids))

    def steps_kept(self, ids: Sequence[int]) -> list[int]:
        """Which steps of a line stand for a character of its text."""
        read = ids[: self.steps_read(ids)]
        kept = [place for place, i in enumerate(read) if i >= len(self.specials)]
        if self.scheme is Scheme.CTC:
            return [place for place in kept if place == 0 or ids[place] != ids[place - 1]]
        return kept


AUTOREGRESSIVE = Transcription(
    Scheme.EOS, ("<PAD>", "<BOS>", "<EOS>"), pad=0, bos=1, eos=2, first_answer=2
)
"""That of the paper's decoder, and of every file of format 1: EOS and characters are answered."""
