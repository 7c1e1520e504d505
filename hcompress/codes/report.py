"""A codebook's figures, as plain data for manifests and reports."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hcompress.codes.distances import mean_distance, nearest_codes
from hcompress.codes.repair import Repairs, equal_report, near_report
from hcompress.codes.votes import Votes
from hcompress.spec.vocabulary import Vocabulary

SHOWN = 24
NEIGHBOURS = 5


def codebook_report(
    codes: NDArray[np.uint8],
    votes: Votes | None,
    repairs: Repairs,
    apart: int,
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    """Samples a character, vote margins, distances, nearest neighbours, and what was repaired.

    ``apart``: bits below which two codes were near.
    """
    nearest = nearest_codes(codes, NEIGHBOURS)
    closest = nearest.distances[:, 0] if nearest.distances.shape[1] else np.zeros(1, np.int32)

    name = vocabulary.name

    def named(ids: tuple[int, ...]) -> dict[str, Any]:
        return {"count": len(ids), "characters": [vocabulary.name(i) for i in ids[:200]]}

    return {
        "code_length": codes.shape[1] * 8,
        "characters": len(vocabulary.characters),
        "samples": _samples(votes, vocabulary.first),
        "margins": _margins(votes),
        "distance": {"minimum": int(closest.min()), "mean": round(mean_distance(codes), 3)},
        "tied_bits": repairs.tied_bits,
        "unseen": named(repairs.unseen),
        "never_right": named(repairs.never_right),
        "collisions": equal_report(repairs.collisions, name),
        "near_collisions": {
            "apart": apart,
            **near_report(repairs.near, name),
        },
        "nearest": [
            {
                "character": vocabulary.name(index),
                "neighbours": [
                    {"character": vocabulary.name(int(other)), "distance": int(distance)}
                    for other, distance in zip(
                        nearest.ids[index], nearest.distances[index], strict=True
                    )
                ],
            }
            for index in _shown(closest, vocabulary.first)
        ],
    }


def _shown(closest: NDArray[np.int32], first: int) -> list[int]:
    """The characters with the closest neighbours, then some at even steps, specials left out."""
    order = [int(i) for i in np.argsort(closest, kind="stable") if i >= first]
    half = order[: SHOWN // 2]
    step = max(1, len(order) // (SHOWN - len(half) or 1))
    rest = [i for i in sorted(order)[::step] if i not in half]
    return half + rest[: SHOWN - len(half)]


def _samples(votes: Votes | None, first: int) -> dict[str, Any] | None:
    if votes is None:
        return None
    seen = votes.seen[first:]
    return {
        "total": int(votes.seen.sum()),
        "right": int(votes.right.sum()),
        "minimum": int(seen.min()),
        "median": float(np.median(seen)),
        "maximum": int(seen.max()),
        "none": int((seen == 0).sum()),
        "one": int((seen == 1).sum()),
    }


def _margins(votes: Votes | None) -> dict[str, float] | None:
    if votes is None or not (votes.seen > 0).any():
        return None
    margins = votes.margins()[votes.seen > 0]
    return {
        "mean": round(float(margins.mean()), 4),
        "minimum": round(float(margins.min()), 4),
        "below_0.1": round(float((margins < 0.1).mean()), 4),
    }
