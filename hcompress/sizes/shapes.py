"""A checkpoint's classifier by its shape, where the names of its tensors say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from hcompress.formats.layout import Piece
from hcompress.sizes.groups import CLASSIFIER, OTHER, group_of

FEWEST: Final = 10
"""Classes of a classifier at least."""


class Pair(NamedTuple):
    """Two tensors that a product onto classes has."""

    weight: Piece
    bias: Piece

    @property
    def classes(self) -> int:
        return self.bias.params


def classifiers(pieces: Sequence[Piece]) -> list[Pair]:
    """Those of a checkpoint none of whose tensors is called one; several if it has several heads.

    A matrix with more classes than inputs, and a vector of as many classes under the same name. Of
    the names that say nothing alone: a classifier of fewer than half the most classes is none.
    """
    groups = {piece.name: group_of(piece.name) for piece in pieces}
    if CLASSIFIER in groups.values():
        return []
    unsaid = [piece for piece in pieces if groups[piece.name] == OTHER]
    vectors = {
        (_owner(piece), piece.params): piece
        for piece in unsaid
        if len(piece.shape) == 1 and piece.params >= FEWEST
    }
    found = []
    for piece in unsaid:
        if len(piece.shape) != 2:
            continue
        bias = vectors.get((_owner(piece), max(piece.shape)))
        if bias is not None and min(piece.shape) < max(piece.shape):
            found.append(Pair(piece, bias))
    most = max((pair.classes for pair in found), default=0)
    return [pair for pair in found if 2 * pair.classes >= most]


def _owner(piece: Piece) -> str:
    """What a tensor's name says of the module that has it."""
    return piece.name.rpartition(".")[0]
