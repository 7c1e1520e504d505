"""A charset's characters and a transcription's special ids, each with an id. Torch-free.

Specials come first, so that a vocabulary can grow (`extend`) without moving an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hcompress.charset import check_characters
from hcompress.errors import InputRefused
from hcompress.spec.transcription import AUTOREGRESSIVE, Transcription


class Vocabulary:
    """The characters of a charset after the special ids.

    Raises InputRefused if the characters are none that `check_characters` lets pass.
    """

    def __init__(
        self, characters: Iterable[str], transcription: Transcription = AUTOREGRESSIVE
    ) -> None:
        self.characters: tuple[str, ...] = tuple(characters)
        self.transcription = transcription
        self.first = len(transcription.specials)
        """The first character's id."""
        self._ids = {c: i + self.first for i, c in enumerate(self.characters)}
        check_characters(self.characters)

    def __len__(self) -> int:
        return len(self.characters) + self.first

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and other.characters == self.characters
            and other.transcription == self.transcription
        )

    def __hash__(self) -> int:
        return hash((self.characters, self.transcription))

    def __contains__(self, character: str) -> bool:
        return character in self._ids

    def with_characters(self, characters: Iterable[str]) -> Vocabulary:
        """Of these characters, with the same special ids."""
        return Vocabulary(characters, self.transcription)

    def id_of(self, character: str) -> int:
        return self._ids[character]

    def name(self, index: int) -> str:
        """The character, or a special id's name in angle brackets."""
        if index < self.first:
            return self.transcription.specials[index]
        return self.characters[index - self.first]

    def unknown(self, text: str) -> str | None:
        """The first character of ``text`` that has no id, or None."""
        return next((c for c in text if c not in self._ids), None)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special ones. Raises InputRefused at an unknown character."""
        stranger = self.unknown(text)
        if stranger is not None:
            raise InputRefused(
                f"label {text!r}: {stranger!r} (U+{ord(stranger):04X}) is not in the charset"
                f" of {len(self.characters)}; add it, or choose unknown = skip-line"
            )
        return [self._ids[c] for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a line's ids, as the transcription has it."""
        kept = self.transcription.steps_kept(ids)
        return "".join(self.characters[ids[place] - self.first] for place in kept)
