"""Moving codes to where features lie. V vocabulary, K bits.

Codes are made before training, from a softmax or by vote. Training draws features to them, and
where it can't, nothing says that the code was the better of the two: so the codes go to meet the
features. `finetune` goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hcompress.codes.repair import Repairs, repaired
from hcompress.codes.report import codebook_report
from hcompress.codes.soft_votes import SoftVotes, moved_bits
from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import pack, unpack
from hcompress.spec.refusals import check_has_codes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hcompress.heads.hamming.codebook import Bits
    from hcompress.recognisers.contract import Recogniser
    from hcompress.spec.vocabulary import Vocabulary


def codes_of(model: Recogniser, source: Path) -> Bits:
    """A Hamming classifier's codes [V, K]. Raises UsageError, naming ``source``, for a softmax."""
    try:
        check_has_codes(model.config)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    return unpack(model.codebook.numpy())


def recoded(
    old: Bits, votes: SoftVotes, old_weight: float, min_distance: float, vocabulary: Vocabulary
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Codes [V, K/8] on the sides that the votes lean to, and the figures.

    ``old_weight``: as many looks as the ``old`` code [V, K] counts for.
    """
    bits, sure = moved_bits(votes, old, old_weight)
    seen = votes.seen > 0
    unseen = Repairs(0, tuple(np.flatnonzero(~seen).tolist()), (), ())
    bits, repairs, apart = repaired(bits, sure, min_distance, unseen)
    codes = pack(bits)
    moved = (bits != old).sum(1)
    return codes, {
        "looks": int(votes.seen.sum()),
        "moved_bits": {
            "mean": round(float(moved[seen].mean()) if seen.any() else 0.0, 3),
            "maximum": int(moved.max()),
        },
        **codebook_report(codes, None, repairs, apart, vocabulary),
    }
