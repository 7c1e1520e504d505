"""Making a codebook from a softmax. V vocabulary, d features, K bits.

What a method wants to know of labelled images is counted first (`count_images`); the codes are a
pure function of the softmax columns and these counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hcompress.codes.options import CodebookOptions, Method
from hcompress.codes.repair import Repairs, repaired
from hcompress.codes.votes import Votes, projected, random_bits, random_projection, voted_bits
from hcompress.codes.whitened import Scatter, whitened_projections
from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import Codebook, pack

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hcompress.recognisers.contract import Recogniser


class Made(NamedTuple):
    """A codebook, and what the report says of how it came about."""

    codebook: Codebook
    votes: Votes | None
    """If codes came by vote."""
    repairs: Repairs
    apart: int
    """Bits by which codes are held apart."""


def columns_of(model: Recogniser) -> NDArray[np.float32]:
    """The softmax columns [V, d] that codes are made from. Raises UsageError if there are none."""
    whole = model.head.softmax_columns()
    if whole is None:
        raise UsageError(
            "codes are made from a whole softmax, neither a Hamming classifier nor a factorised"
            " one: give the recogniser from before `replace-head` or `factorise`"
        )
    columns: NDArray[np.float32] = whole.detach().numpy()
    return columns


def empty_counts(model: Recogniser, options: CodebookOptions) -> Votes | Scatter | None:
    """What the method counts of labelled images, empty; None if it needs no image."""
    width = model.config.width
    match options.method:
        case Method.LSH:

            def answers(features: Tensor) -> Tensor:
                return model.head.scores(model.head.logits(features)).argmax(-1)

            projection = random_projection(width, options.code_length, options.seed)
            return Votes.none(model.vocabulary, projection, answers)
        case Method.WHITENED:
            return Scatter.none(model.vocabulary, width)
        case Method.COLUMNS | Method.RANDOM:
            return None


def make_codebook(
    columns: NDArray[np.float32], counts: Votes | Scatter | None, options: CodebookOptions
) -> Made:
    """Codes from the softmax ``columns`` [V, d] and what images were counted to say.

    Raises UsageError if the method asks for counts and there are none.
    """
    count, width = columns.shape
    length, seed = options.code_length, options.seed
    repairs = Repairs(0, (), (), ())
    match options.method, counts:
        case Method.LSH, Votes():
            projection = counts.projection
            bits, sure, repairs = voted_bits(counts, projected(columns, projection))
        case Method.COLUMNS, _:
            projection = random_projection(width, length, seed)
            bits, sure = _sides(columns, projection)
        case Method.WHITENED, Scatter():
            for_columns, projection = whitened_projections(counts, length, seed)
            bits, sure = _sides(columns, for_columns)
        case Method.RANDOM, _:
            projection = random_projection(width, length, seed)
            bits = random_bits(count, length, seed)
            sure = np.zeros(bits.shape)
        case _:
            raise UsageError(
                f"method = {options.method} needs data; or take method = columns, which needs none"
            )
    bits, repairs, apart = repaired(bits, sure, options.min_distance, repairs)
    votes = counts if isinstance(counts, Votes) else None
    return Made(Codebook(pack(bits), projection), votes, repairs, apart)


def _sides(
    columns: NDArray[np.float32], projection: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Bits [V, K] and how sure each is: on which side of its plane a column lies, and how far."""
    sides = projected(columns, projection)
    return sides >= 0, np.abs(sides)
