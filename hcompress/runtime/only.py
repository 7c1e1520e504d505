"""Answers restricted to some characters, before one is chosen.

N lines, T steps, k candidates, V = vocabulary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from hcompress.errors import UsageError
from hcompress.strict.files import quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.heads.native import Ranker
    from hcompress.spec.vocabulary import Vocabulary

Only: TypeAlias = str | Iterable[str] | None
"""Characters, names of `CLASSES`, or several of either; None: whatever the model answers."""

MOST_RESTRICTIONS: Final = 16
"""Sets of characters that a reader remembers: each may be a codebook."""


def _named(*starts: str) -> Callable[[str], bool]:
    """By what Unicode calls a character."""
    return lambda one: unicodedata.name(one, "").startswith(starts)


def _of(*categories: str) -> Callable[[str], bool]:
    return lambda one: unicodedata.category(one).startswith(categories)


CLASSES: Final[Mapping[str, Callable[[str], bool]]] = {
    "digits": lambda one: "0" <= one <= "9",
    "ascii": str.isascii,
    "latin": _named("LATIN "),
    "letters": _of("L"),
    "upper": str.isupper,
    "lower": str.islower,
    "punctuation": _of("P", "S"),
    "space": str.isspace,
    "han": _named("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"),
    "kana": _named("HIRAGANA ", "KATAKANA "),
    "hangul": _named("HANGUL "),
    "cyrillic": _named("CYRILLIC "),
    "greek": _named("GREEK "),
    "arabic": _named("ARABIC "),
}
"""Classes of characters by name: `upper` and `lower` are letters of any script."""


def key_of(only: Only) -> tuple[str, ...] | None:
    """What is asked for, in one form: it can be remembered by."""
    if only is None:
        return None
    wanted = (only,) if isinstance(only, str) else tuple(only)
    if not any(wanted):
        raise UsageError("only: no character and no class is named: give some, or leave it out")
    return wanted


def fitting(only: Sequence[str]) -> Callable[[str], bool]:
    """Whether a class's string is among what is asked for.

    A string of several code points is if each of them is of one class, or it is asked for whole.
    """
    words = [word for word in only if word not in CLASSES]
    singles = frozenset("".join(words))
    kinds = [CLASSES[word] for word in dict.fromkeys(only) if word in CLASSES]

    def fits(text: str) -> bool:
        if text in singles or any(text and all(map(kind, text)) for kind in kinds):
            return True
        return len(text) > 1 and any(text in word for word in words)

    return fits


def allowed(classes: Sequence[str], only: Sequence[str]) -> NDArray[np.bool_]:
    """[V]: whether each class's string is among what is asked for, as `fitting` says.

    Raises UsageError if none is.
    """
    import numpy as np

    found = np.array(list(map(fitting(only), classes)), bool)
    if not found.any():
        listed = ", ".join(quoted(word) for word in only)
        raise UsageError(
            f"only {listed}: the model answers none of these; classes are {', '.join(CLASSES)}"
        )
    return found


def lacking(characters: Iterable[str], only: Sequence[str]) -> str:
    """Characters that are asked for by themselves, and that a model hasn't got."""
    asked = dict.fromkeys(one for word in only if word not in CLASSES for one in word)
    known = set(characters)
    return "".join(one for one in asked if one not in known)


def of_vocabulary(vocabulary: Vocabulary, only: Sequence[str]) -> NDArray[np.bool_]:
    """[V], special ids among them: those are answered as ever."""
    import numpy as np

    special = np.ones(vocabulary.first, bool)
    return np.concatenate([special, allowed(vocabulary.characters, only)])


class Restriction(NamedTuple):
    """What may be answered, and who ranks that alone."""

    mask: NDArray[np.bool_]
    """[V], special ids among them."""
    ranker: Ranker | None
    """None where a graph ranks: the choice is among the candidates that it keeps."""


class Chosen(NamedTuple):
    """Candidates, those that are asked for in front."""

    ids: NDArray[np.int64]
    """[N, T, k]."""
    probabilities: NDArray[np.float32]
    """[N, T, k]; of a step that none is left of, what all others may have together."""
    as_given: NDArray[np.float32]
    """[N, T, k]: the candidates' own."""
    lost: NDArray[np.bool_]
    """[N, T]: none of the k is asked for."""
    moved: NDArray[np.bool_]
    """[N, T]: the best was not, and another is."""


def among_candidates(
    ids: NDArray[Any], probabilities: NDArray[Any], mask: NDArray[np.bool_]
) -> Chosen:
    """The k candidates [N, T, k] of a model that keeps no more, by ``mask`` [V]."""
    import numpy as np

    fits = mask[ids]
    order = np.argsort(~fits, axis=2, kind="stable")
    lost: NDArray[np.bool_] = np.logical_not(fits.any(2))
    rest = np.clip(1 - probabilities.sum(2, keepdims=True), 0, 1)
    sorted_chances = np.take_along_axis(probabilities, order, 2)
    chances = np.where(lost[:, :, None], rest, sorted_chances).astype(np.float32)
    moved = ~fits[:, :, 0] & ~lost
    return Chosen(np.take_along_axis(ids, order, 2), chances, sorted_chances, lost, moved)
