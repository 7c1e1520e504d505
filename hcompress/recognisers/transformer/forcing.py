"""Teacher forcing: from texts to what the decoder is given and asked for."""

from __future__ import annotations

import torch

from hcompress.charset import UnknownCharacter
from hcompress.recognisers.contract import Targets
from hcompress.spec.vocabulary import Vocabulary


def forced(
    texts: list[str], vocabulary: Vocabulary, max_steps: int, unknown: UnknownCharacter
) -> Targets:
    """Inputs (BOS first) and targets (EOS last), each [N, T]; PAD if a line does not count.

    A line longer than max_steps - 1 characters does not count.
    """
    special = vocabulary.transcription
    assert special.pad is not None
    assert special.bos is not None
    rows = []
    for text in texts:
        skipped = unknown is UnknownCharacter.SKIP_LINE and vocabulary.unknown(text) is not None
        rows.append(None if skipped else vocabulary.encode(text))
    usable = [row for row in rows if row is not None and len(row) < max_steps]
    length = max((len(row) for row in usable), default=0) + 1
    inputs = torch.full((len(rows), length), special.pad)
    targets = torch.full((len(rows), length), special.pad)
    inputs[:, 0] = special.bos
    for place, row in enumerate(rows):
        if row is None or len(row) >= max_steps:
            continue
        inputs[place, 1 : len(row) + 1] = torch.tensor(row, dtype=torch.long)
        targets[place, : len(row) + 1] = torch.tensor([*row, special.eos])
    return Targets(inputs, targets, targets != special.pad)
