"""Labels held against a charset before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from hcompress.charset import UnknownCharacter, named
from hcompress.data.mixture import Mixture
from hcompress.data.sample import Label, Labelled
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


MOST_LINES: Final = 50
"""Lines an error names at most; the others are counted."""


@runtime_checkable
class Rendered(Protocol):
    """A source that knows what its lines are made of, and draws a label with its image."""

    @property
    def characters(self) -> Sequence[str]: ...


def check_labels(
    source: DataSource,
    known: Collection[str],
    unknown: UnknownCharacter,
    indices: Iterable[int] | None = None,
    *,
    single: bool = False,
) -> None:
    """Raise InputRefused naming every label that has characters which are not ``known``.

    ``unknown`` may have them left out; ``indices``: labels that count, None for all; ``single``: of
    single characters, of which a label must be one. Sources without labels on file are asked what
    they draw.
    """
    if unknown is not UnknownCharacter.REFUSE:
        return
    if isinstance(source, Mixture):  # which of its lines count is drawn
        for part in source.sources:
            check_labels(part, known, unknown, single=single)
    elif isinstance(source, Labelled):
        places = range(len(source)) if indices is None else indices
        _check_each(source, places, frozenset(known), single=single)
    elif isinstance(source, Rendered):
        strangers = [c for c in source.characters if c not in known]
        if strangers:
            raise InputRefused(
                f"rendered lines: {named(strangers)}: not in the charset of {len(known):,}; take"
                " them out of the spec's, or choose unknown = skip-line"
            )


def check_lengths(source: DataSource, longest: int) -> None:
    """Raises InputRefused if no label on file is of ``longest`` characters or fewer: others can't
    be learnt."""
    if isinstance(source, Mixture):
        for part in source.sources:
            check_lengths(part, longest)
    if not isinstance(source, Labelled):
        return
    lengths = (len(source.text(place)) for place in range(len(source)))
    if all(length > longest for length in lengths):
        raise InputRefused(
            f"all {len(source):,} labels are longer than max_steps = {longest + 1:,} allows, its"
            f" EOS counted: such as {source.label(0).where}: {source.text(0)!r}"
        )


def _check_each(
    source: Labelled, places: Iterable[int], known: frozenset[str], *, single: bool
) -> None:
    bad: list[Label] = []
    strangers: dict[str, None] = {}
    count = seen = 0
    for place in places:
        seen += 1
        label = source.text(place)
        if known.issuperset(label) and not (single and len(label) != 1):
            continue
        count += 1
        strangers.update(dict.fromkeys(c for c in label if c not in known))
        if len(bad) < MOST_LINES:
            bad.append(source.label(place))
    if not bad:
        return
    where = "; ".join(f"{label.where}: {label.text!r}" for label in sorted(bad, key=_in_order))
    more = f"; and {count - len(bad):,} more" if count > len(bad) else ""
    what = f"have characters that are not in the charset of {len(known):,}: {named(strangers)}"
    if not strangers:
        what = "are not of one character"
    raise InputRefused(
        f"{count:,} of {seen:,} labels {what}; mend them, or choose unknown = skip-line:"
        f" {where}{more}"
    )


def _in_order(label: Label) -> tuple[int, str]:
    return len(label.where), label.where
