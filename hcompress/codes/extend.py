"""Codes for characters a model was never trained on. V vocabulary before, n new, K bits.

The lines that show them are found first (`sight`); the model looks at these and says what it sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from hcompress.charset import named
from hcompress.codes.extend_logits import Looks, look
from hcompress.codes.new_codes import NewCodes, growth_report, new_codes
from hcompress.codes.repair import least_distance
from hcompress.data.batches import batches
from hcompress.errors import InputRefused, UsageError
from hcompress.heads.hamming.codebook import Bits, pack, unpack
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.refusals import check_grows

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hcompress.codes.extend_lines import Sightings
    from hcompress.codes.options import ExtendOptions
    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress
    from hcompress.recognisers.contract import Recogniser
    from hcompress.spec.vocabulary import Vocabulary


BESIDE = 1 / 8
"""A character whose images differ from the end of a line in fewer of the bits is not there. Seen in
the packaged model: 0 to 14 of 512 bits if it is not, 115 and more if it is."""
SURE = 0.8
"""Share of its own images nearest to a character's code below which it is named."""


class Extended(NamedTuple):
    """What new characters are given."""

    codes: Tensor
    """uint8 [n, K/8]."""
    signs: Tensor
    """The same as signs, float [n, K]."""
    report: dict[str, Any]


def growable(model: Recogniser, source: Path) -> Transformer:
    """The model. Raises UsageError, naming ``source``, if a new character would need training."""
    if not isinstance(model, Transformer):
        raise model.inside("extend")
    try:
        check_grows(model.config)
        assert model.inputs is not None
        model.inputs.new_vectors(model.signs()[:1])
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    return model


@torch.no_grad()
def extend(
    options: ExtendOptions,
    model: Transformer,
    source: DataSource,
    found: Sightings,
    progress: Progress,
) -> Extended:
    """The codes of the characters that ``found`` adds, from its lines of ``source``.

    Raises InputRefused if one's images look like the end of a line: every line's confidence would
    fall.
    """
    codes, looks, passes = _learn(options, model, source, found, progress)
    _check_ends(codes, found.vocabulary, options.data)
    added = codes.bits[model.vocabulary :]
    report = growth_report(codes, looks, found.vocabulary)
    report = {"lines": len(found.indices), "passes": passes, **report}
    _say_unread(report["new"], progress)
    return Extended(torch.from_numpy(pack(added)), _signs(added), report)


def _learn(
    options: ExtendOptions,
    model: Transformer,
    source: DataSource,
    found: Sightings,
    progress: Progress,
) -> tuple[NewCodes, Looks, int]:
    """The codes, and the looks and passes they took.

    In the first pass the decoder is given a vector of zeros for a new character. Where one
    stands behind another a second pass follows, with the first one's codes in their place.
    """
    assert model.inputs is not None
    given, project = model.inputs.vectors(), model.inputs.new_vectors
    old = unpack(model.codebook.numpy())
    apart = least_distance(old.shape[1]) if options.apart is None else options.apart
    count = len(found.vocabulary) - model.vocabulary
    size = model.config.preprocessing

    def see(vectors: Tensor, label: str) -> Looks:
        progress.start(label, len(found.indices))
        feed = batches(source, found.indices, options.batch, size, options.workers)
        every = torch.cat([given, vectors])
        looks = look(model, every, found.vocabulary, options.images, feed, progress)
        progress.finish()
        return looks

    looks = see(torch.zeros(count, model.config.width), "new characters")
    codes = new_codes(looks, old, count, apart, options.ballot)
    if not looks.led:
        return codes, looks, 1
    looks = see(project(_signs(codes.bits[len(old) :])), "once more, with their codes")
    return new_codes(looks, old, count, apart, options.ballot), looks, 2


def _check_ends(codes: NewCodes, vocabulary: Vocabulary, data: Path) -> None:
    eos = vocabulary.transcription.eos
    assert eos is not None
    away = (codes.voted != (codes.bits[eos] > 0)).mean(1)
    ends = [vocabulary.name(codes.old + int(place)) for place in np.flatnonzero(away < BESIDE)]
    if ends:
        raise InputRefused(
            f"{data}: {named(ends)}: where it should stand, the images look like the end of a line:"
            " do the labels have more than the images show? Its code would lie beside the end's,"
            " and every line would be less sure of its end"
        )


def _say_unread(rows: list[dict[str, Any]], progress: Progress) -> None:
    """Name characters that the very images their codes are made of are not read as."""
    for row in rows:
        if row["read"] < SURE:
            progress.say(
                f"{named([row['character']])}: only {row['read']:.0%} of its own images are nearest"
                f" to its code, others look like {row['nearest']!r}: give more images of it, or"
                " check their labels"
            )


def _signs(bits: Bits) -> Tensor:
    return torch.from_numpy(bits).float() * 2 - 1
