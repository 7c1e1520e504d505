"""What `encode-head` said of the encodings it weighed: bytes against what each loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hcompress.reports.model import Encoding, Encodings, StageEntry
from hcompress.strict.read import read


@dataclass(frozen=True)
class _Report:
    encoding: str
    rows: tuple[Encoding, ...] = ()


def read_encodings(stages: Sequence[StageEntry]) -> Encodings | None:
    """From the first stage that weighed encodings; None if no stage did.

    Raises InputRefused if that report is malformed.
    """
    entry = next(
        (one for one in stages if one.stage == "encode-head" and one.figures.get("rows")), None
    )
    if entry is None:
        return None
    found = read(_Report, entry.figures, f"{entry.folder}: report", only_known=False)
    return Encodings(found.encoding, tuple(sorted(found.rows, key=lambda row: row.bytes)))


def encoding_rows(found: Encodings) -> list[list[str]]:
    """A row an encoding, the smallest first; the chosen one is marked."""
    rows = [["encoding", "head, bytes", "points lost", "same text, %", "frames kept, %",
             "sure ones, %", "rare ones, %"]]  # fmt: skip
    for row in found.rows:
        shares = (row.same_text, row.frames_kept, row.sure_frames_kept, row.rare_frames_kept)
        rows.append(
            [
                f"{row.encoding} ✓" if row.encoding == found.chosen else row.encoding,
                f"{row.bytes:,}",
                f"{row.loss:.2f}",
                *("–" if share is None else f"{100 * share:.2f}" for share in shares),
            ]
        )
    return rows


def on_the_edge(found: Encodings) -> list[Encoding]:
    """Those that no smaller one beats or equals."""
    kept: list[Encoding] = []
    for row in found.rows:
        if all(row.loss < other.loss for other in kept):
            kept.append(row)
    return kept
