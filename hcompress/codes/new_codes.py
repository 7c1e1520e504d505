"""From looks at new characters to their codes, and what there is to say of them.

V vocabulary before, n new characters, K bits. Pure functions of their arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hcompress.codes.distances import BLOCK, distances
from hcompress.codes.extend_logits import Looks
from hcompress.codes.options import Ballot
from hcompress.codes.repair import NearCollision, equal_report, near_report, part, separate
from hcompress.codes.soft_votes import held
from hcompress.heads.hamming.codebook import Bits, pack
from hcompress.spec.vocabulary import Vocabulary

SHOWN = 1000
"""New characters the report lists."""


@dataclass(frozen=True)
class NewCodes:
    """The codes of new characters, and what had to be done for them."""

    bits: Bits
    """[V + n, K], the old ones as they were."""
    voted: Bits
    """[n, K]: before the repairs."""
    margins: NDArray[np.float64]
    """[n, K]: how clear each bit was, 0 to 1."""
    seen: NDArray[np.int64]
    """[n]: looks at each."""
    tied_bits: int
    apart: int
    collisions: tuple[tuple[int, int], ...]
    near: tuple[NearCollision, ...]

    @property
    def old(self) -> int:
        """V."""
        return len(self.bits) - len(self.voted)


def new_codes(
    looks: Looks, old: Bits, count: int, apart: int, ballot: Ballot = Ballot.MEAN
) -> NewCodes:
    """The sign of each bit's mean over a character's looks; then the repairs.

    ``old`` [V, K] are never changed. Raises InputRefused where there are more characters than
    codes.
    """
    means = mean_logits(looks, count, ballot)
    voted = means >= 0
    margins = np.abs(means)
    bits = np.concatenate([old, voted])
    sure = np.concatenate([np.ones(old.shape), margins])
    bits, collisions = separate(bits, sure, len(old))
    bits, near = part(bits, sure, apart, len(old))
    seen = np.bincount(looks.ids, minlength=count)
    return NewCodes(bits, voted, margins, seen, int((means == 0).sum()), apart, collisions, near)


def mean_logits(looks: Looks, count: int, ballot: Ballot) -> NDArray[np.float64]:
    """[n, K], -1 to 1: what the looks at each character say of each bit.

    Summed in the order of the data, in float64.
    """
    if ballot is Ballot.VOTES:
        ballots = np.where(looks.logits >= 0, 1.0, -1.0)
    else:
        ballots = held(looks.logits)
    sums = np.zeros((count, ballots.shape[1]))
    np.add.at(sums, looks.ids, ballots)
    return sums / np.maximum(1, np.bincount(looks.ids, minlength=count))[:, None]


def growth_report(codes: NewCodes, looks: Looks, vocabulary: Vocabulary) -> dict[str, Any]:
    """What was added and repaired, and a row for each new character.

    ``margin`` is the mean over its bits. ``scatter`` is the mean distance of its images' bits to
    its code, and ``read`` the share of them that are nearest to it: they made the code, so new
    images do worse.
    """
    name = vocabulary.name
    return {
        "characters": len(vocabulary.characters),
        "added": len(codes.voted),
        "looks": len(looks.ids),
        "tied_bits": codes.tied_bits,
        "collisions": equal_report(codes.collisions, name),
        "near_collisions": {
            "apart": codes.apart,
            **near_report(codes.near, name),
        },
        "new": _rows(codes, looks, vocabulary),
    }


def _rows(codes: NewCodes, looks: Looks, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    packed, old = pack(codes.bits), codes.old
    scatter, read = _own_images(looks, packed, old)
    flipped = (codes.bits[old:] != codes.voted).sum(1)
    rows = []
    for place in range(min(len(codes.voted), SHOWN)):
        near = distances(packed[old + place : old + place + 1], packed)[0]
        near[old + place] = np.iinfo(near.dtype).max
        nearest = int(near.argmin())
        rows.append(
            {
                "character": vocabulary.name(old + place),
                "images": int(codes.seen[place]),
                "margin": round(float(codes.margins[place].mean()), 4),
                "scatter": round(float(scatter[place]), 2),
                "read": round(float(read[place]), 4),
                "nearest": vocabulary.name(nearest),
                "distance": int(near[nearest]),
                "flipped": int(flipped[place]),
            }
        )
    return rows


def _own_images(
    looks: Looks, packed: NDArray[np.uint8], old: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scatter and share read of each new character: [n] and [n]."""
    seen = pack(looks.logits >= 0)
    away = np.empty(len(seen))
    right = np.empty(len(seen))
    for start in range(0, len(seen), BLOCK):
        rows = slice(start, start + BLOCK)
        near = distances(seen[rows], packed)
        own = looks.ids[rows] + old
        away[rows] = near[np.arange(len(own)), own]
        right[rows] = near.argmin(1) == own
    count = len(packed) - old
    times = np.maximum(1, np.bincount(looks.ids, minlength=count))
    scatter = np.bincount(looks.ids, away, count) / times
    return scatter, np.bincount(looks.ids, right, count) / times
