"""From looks at new characters to their codes, and what there is to say of them.

V vocabulary before, n new characters, K bits. Pure functions of their arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hcompress.codes.apart import NearCollision, part
from hcompress.codes.codebook import Bits, pack, separate, voted_bits
from hcompress.codes.distances import BLOCK, distances
from hcompress.codes.looks import Looks
from hcompress.codes.votes import Votes
from hcompress.recogniser.vocabulary import Vocabulary

SHOWN = 1000
"""New characters the report lists."""
PAIRS = 50


@dataclass(frozen=True)
class NewCodes:
    """The codes of new characters, and what had to be done for them."""

    bits: Bits
    """[V + n, K], the old ones as they were."""
    voted: Bits
    """[n, K]: before the repairs."""
    margins: NDArray[np.float64]
    """[n, K]: how clear each bit's vote was."""
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


def new_codes(looks: Looks, old: Bits, count: int, apart: int) -> NewCodes:
    """Eq. 4 over the bit logits of each of ``count`` new characters; then the repairs.

    A tied bit takes the sign of the mean bit logit. Bits whose vote is equally clear are ranked
    by how far that mean is from zero. ``old`` [V, K] are never changed. Raises InputRefused
    where there are more characters than codes.
    """
    votes = Votes.none(count, old.shape[1])
    votes.add(looks.logits, looks.ids, np.ones(len(looks.ids), np.bool_))
    means = mean_logits(looks, count)
    voted, repairs = voted_bits(votes, means >= 0)
    margins = votes.margins()
    # A vote moves by one part in the number of looks: less than that separates no votes.
    size = np.abs(means)
    certain = margins + size / max(float(size.max()), 1e-9) / (2 * votes.seen.max() + 1)
    bits = np.concatenate([old, voted])
    sure = np.concatenate([np.ones(old.shape), certain])
    bits, collisions = separate(bits, sure, len(old))
    bits, near = part(bits, sure, apart, len(old))
    return NewCodes(bits, voted, margins, votes.seen, repairs.tied_bits, apart, collisions, near)


def mean_logits(looks: Looks, count: int) -> NDArray[np.float64]:
    """[n, K], summed in the order of the data."""
    sums = np.zeros((count, looks.logits.shape[1]))
    np.add.at(sums, looks.ids, looks.logits.astype(np.float64))
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
        "collisions": {
            "found": len(codes.collisions),
            "resolved": len(codes.collisions),
            "pairs": [[name(a), name(b)] for a, b in codes.collisions[:PAIRS]],
        },
        "near_collisions": {
            "apart": codes.apart,
            "found": len(codes.near),
            "resolved": sum(pair.flipped > 0 for pair in codes.near),
            "pairs": [
                [name(pair.changed), name(pair.kept), pair.distance] for pair in codes.near[:PAIRS]
            ],
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
